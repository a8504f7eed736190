/** Compiles a Keras or tfjs model to ONNX in a process of its own, so that what that takes is given back. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { FailureReason } from "../../crds/contract/exit-code.ts";
import { crashOf, moduleBeside, startChild } from "../engine/child.ts";
import { Failure } from "../failure.ts";
import type { Signature } from "./tensor.ts";

export interface ModelToCompile {
  readonly dir: string;
  readonly shownAs: string;
  readonly threads?: number | undefined;
}

export interface CompilerRequest extends ModelToCompile {
  /** File to write: as a message a large model would lie in both processes several times. */
  readonly target: string;
}

interface Compiled {
  readonly format: ArtefactManifest["format"];
  readonly signature: Signature;
  /** Of its answers from the model's own, scaled by max(1, |y|). */
  readonly difference: number;
}

export interface CompiledOnnx extends Compiled {
  readonly bytes: Uint8Array;
}

export type CompilerReply =
  | { readonly type: "compiled"; readonly model: Compiled }
  | { readonly type: "notCompiled"; readonly reason: string }
  | { readonly type: "failed"; readonly reason: FailureReason; readonly message: string };

/** The compiled model, or why there is none. Throws Failure when the model cannot be loaded at all. */
export async function compileFolder(model: ModelToCompile): Promise<CompiledOnnx | string> {
  const folder = await mkdtemp(join(tmpdir(), "onnx-"));
  const target = join(folder, "model.onnx");
  const child = startChild<CompilerRequest, CompilerReply>(moduleBeside(import.meta.url, "onnx-compiler-worker"));
  try {
    const answer = new Promise<CompilerReply>((resolve) => child.onMessage(resolve));
    child.send({ ...model, target });
    const reply = await Promise.race([answer, child.exited.then(crashOf)]);
    if (reply instanceof Failure) return `compiling it failed: ${reply.message}`;
    if (reply.type === "failed") throw new Failure(reply.reason, reply.message);
    if (reply.type === "notCompiled") return reply.reason;
    // Its memory is needed for what comes now.
    child.kill("SIGKILL");
    return { ...reply.model, bytes: await readFile(target) };
  } finally {
    child.kill("SIGKILL");
    await rm(folder, { recursive: true, force: true });
  }
}
