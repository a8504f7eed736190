/** Compiles a Keras or tfjs model to ONNX in a process of its own, so that what that takes is given back. */
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { FailureReason } from "../../crds/contract/exit-code.ts";
import { crashOf, moduleBeside, startChild } from "../engine/child.ts";
import { Failure } from "../failure.ts";
import type { Signature } from "./tensor.ts";

export interface CompilerRequest {
  readonly dir: string;
  readonly shownAs: string;
  readonly threads?: number | undefined;
}

export interface CompiledOnnx {
  readonly bytes: Uint8Array;
  readonly format: ArtefactManifest["format"];
  readonly signature: Signature;
  /** Of its answers from the model's own, scaled by max(1, |y|). */
  readonly difference: number;
}

export type CompilerReply =
  | { readonly type: "compiled"; readonly model: CompiledOnnx }
  | { readonly type: "notCompiled"; readonly reason: string }
  | { readonly type: "failed"; readonly reason: FailureReason; readonly message: string };

/** The compiled model, or why there is none. Throws Failure when the model cannot be loaded at all. */
export async function compileFolder(request: CompilerRequest): Promise<CompiledOnnx | string> {
  const child = startChild<CompilerRequest, CompilerReply>(moduleBeside(import.meta.url, "onnx-compiler-worker"));
  try {
    const answer = new Promise<CompilerReply>((resolve) => child.onMessage(resolve));
    child.send(request);
    const reply = await Promise.race([answer, child.exited.then(crashOf)]);
    if (reply instanceof Failure) return `compiling it failed: ${reply.message}`;
    if (reply.type === "failed") throw new Failure(reply.reason, reply.message);
    return reply.type === "compiled" ? reply.model : reply.reason;
  } finally {
    child.kill("SIGKILL");
  }
}
