/** SavedModels: TensorFlow runs the graph as it is, which may do whatever the process may; so only where that is allowed. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor as EngineTensor } from "@tensorflow/tfjs";
import { openBackend } from "../engine/backend.ts";
import { type Signature as Session, openSignature } from "../engine/session.ts";
import { Failure } from "../failure.ts";
import { SAVED_MODEL_FILE } from "../formats/model.ts";
import { SERVING_TAG, readSavedModel } from "../formats/saved-model/saved-model-file.ts";
import { unsupported } from "../formats/unsupported.ts";
import type { Executor } from "./executor.ts";
import type { ModelToLoad } from "./inference-engine.ts";
import type { Signature } from "./tensor.ts";
import { answeringBy } from "./tfjs-executor.ts";

/** A protobuf message is no larger. */
const FILE_LIMIT = 2 ** 31 - 1;

/** Throws Failure: ModelUnsupported, InvalidSpec, GpuNotVisible. */
export async function openSavedModel(model: ModelToLoad): Promise<Executor> {
  const { dir, shownAs, engine, threads, gpu, allowSavedModel } = model;
  const name = `${shownAs}/${SAVED_MODEL_FILE}`;
  if (allowSavedModel !== true) {
    throw unsupported(
      name,
      "is a SavedModel, a program that can read files and use the network of its pod; if you trust who made it set runtime.allowSavedModel (--allow-saved-model), else give a Keras, tfjs or ONNX model",
    );
  }
  if (engine !== "Auto" && engine !== "TensorFlow") {
    throw new Failure(
      "InvalidSpec",
      `runtime.engine: ${engine} computes no SavedModels, and ${shownAs} is one; set Auto or TensorFlow`,
    );
  }
  const path = join(dir, SAVED_MODEL_FILE);
  const { size } = await stat(path);
  if (size > FILE_LIMIT) throw unsupported(name, `has ${size} bytes; a SavedModel's weights lie in files beside it`);
  const { served, signatures } = readSavedModel(await readFile(path), name);
  const { tf, device } = await openBackend("TensorFlow", { threads, gpu });
  const callable = new Map<string, Executor["infer"]>();
  for (const [called, signature] of Object.entries(signatures)) {
    const session = await openSignature(tf, dir, SERVING_TAG, called).catch((cause: unknown) => {
      const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0] ?? "";
      throw unsupported(name, `TensorFlow cannot load it: ${reason.slice(0, 400)}`, cause);
    });
    callable.set(called, answeringBy(tf, signature, predictBy(session, signature)));
  }
  return {
    // `served` is one of them.
    signature: signatures[served] as Signature,
    signatures,
    format: "SavedModel",
    engine: "TensorFlow",
    device,
    why: `it is a SavedModel; who names no signature gets ${served}`,
    infer: (inputs, called = served) => {
      const infer = callable.get(called);
      if (infer === undefined) throw new RangeError(`the model has no signature ${called}`);
      return infer(inputs);
    },
  };
}

function predictBy(session: Session, { inputs: specs, outputs: wanted }: Signature) {
  return (inputs: EngineTensor[]): EngineTensor[] => {
    const given = specs.map(({ name }, index): [string, EngineTensor | undefined] => [name, inputs[index]]);
    const outputs = session.run(Object.fromEntries(given) as Record<string, EngineTensor>);
    return wanted.map(({ name }) => outputs[name] as EngineTensor);
  };
}
