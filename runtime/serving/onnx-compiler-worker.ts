/** The compiler's process: loads a model, compiles it, writes it to a file, answers once. */
import { writeFile } from "node:fs/promises";
import { compileToOnnx } from "../compiler/onnx/compile.ts";
import { openBackend } from "../engine/backend.ts";
import { onParentMessage, sendToParent } from "../engine/child.ts";
import { asFailure } from "../failure.ts";
import { loadModel } from "../formats/model.ts";
import type { CompilerReply, CompilerRequest } from "./onnx-compiler.ts";

async function compile({ dir, shownAs, threads, target }: CompilerRequest): Promise<CompilerReply> {
  const { tf } = await openBackend("Auto", { threads });
  const { layers, format, signature } = await loadModel(tf, dir, shownAs);
  if (layers === undefined) {
    return { type: "notCompiled", reason: "it is a graph of TensorFlow's operations, which is not compiled" };
  }
  // Another engine may do without: whatever goes wrong here is told where the engine is chosen.
  const compiled = await compileToOnnx(tf, layers).catch((error: unknown) => ({ reason: asFailure(error).message }));
  if (!("bytes" in compiled) || compiled.bytes === undefined) return { type: "notCompiled", reason: compiled.reason };
  const { bytes, difference } = compiled;
  await writeFile(target, bytes);
  return { type: "compiled", model: { format, signature, difference } };
}

onParentMessage((message) => {
  // Only our own parent is at the other end.
  compile(message as CompilerRequest)
    .catch((error: unknown): CompilerReply => {
      const { reason, message: text } = asFailure(error);
      return { type: "failed", reason, message: text };
    })
    .then(sendToParent)
    .catch(() => process.exit(1));
});
