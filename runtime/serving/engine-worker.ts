/** The engine process: loads one model and computes what its parent sends. */
import type { Tensor as EngineTensor } from "@tensorflow/tfjs";
import { type Backend, openBackend } from "../engine/backend.ts";
import { onParentMessage, sendToParent } from "../engine/child.ts";
import { asFailure } from "../failure.ts";
import { type LoadedModel as Model, loadModel } from "../formats/model.ts";
import type { EngineOutcome, EngineReply, EngineRequest } from "./engine-message.ts";
import type { LoadedModel, ModelToLoad } from "./inference-engine.ts";
import type { Datatype, Signature, Tensor, TensorData } from "./tensor.ts";

/** The datatypes that tfjs computes with; `signatureOf` refuses models with others. */
const DTYPES: Partial<Record<Datatype, "float32" | "int32" | "bool">> = {
  FP32: "float32",
  INT32: "int32",
  BOOL: "bool",
};

interface Loaded {
  readonly backend: Backend;
  readonly model: Model;
  readonly signature: Signature;
}

let loaded: Loaded | undefined;

async function load({ dir, shownAs, engine, threads, gpu }: ModelToLoad): Promise<LoadedModel> {
  const backend = await openBackend(engine, { threads, gpu });
  const model = await loadModel(backend.tf, dir, shownAs);
  const { signature } = model;
  loaded = { backend, model, signature };
  return { signature, engine: backend.engine, device: backend.device, why: backend.why };
}

async function infer(inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
  if (loaded === undefined) throw new Error("no model is loaded");
  const { backend, model, signature } = loaded;
  const { tf } = backend;
  const tensors = inputs.map(({ data, shape, datatype }) =>
    // By `DTYPES` one of the three arrays that tfjs takes.
    tf.tensor(data as Float32Array | Int32Array | Uint8Array, [...shape], DTYPES[datatype]),
  );
  let results: EngineTensor[] = [];
  try {
    results = await model.predict(tensors);
    return await Promise.all(signature.outputs.map((spec, index) => read(spec.name, spec.datatype, results[index])));
  } finally {
    tf.dispose([...tensors, ...results]);
  }
}

async function read(name: string, datatype: Datatype, tensor: EngineTensor | undefined): Promise<Tensor> {
  if (tensor === undefined) throw new Error(`the model gave no output ${name}`);
  // The dtype decides the array's type, as in TensorData.
  return { name, datatype, shape: tensor.shape, data: (await tensor.data()) as TensorData };
}

async function outcome(request: EngineRequest): Promise<EngineOutcome> {
  try {
    if (request.type === "load") return { type: "loaded", model: await load(request.model) };
    return { type: "inferred", outputs: await infer(request.inputs) };
  } catch (error) {
    const { reason, message } = asFailure(error);
    return { type: "failed", reason, message };
  }
}

async function answer(request: EngineRequest): Promise<void> {
  const reply: EngineReply = {
    ...(await outcome(request)),
    id: request.id,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
  await sendToParent(reply);
}

// Only the parent ends this process: a signal to the whole process group must not cut off what is being computed.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
// One at a time: answers come in the order of the requests.
let last: Promise<void> = Promise.resolve();
onParentMessage((message) => {
  // Only our own parent is at the other end.
  last = last.then(() => answer(message as EngineRequest));
});
