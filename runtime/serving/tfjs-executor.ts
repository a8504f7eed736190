/** Keras and tfjs models: compiled to a graph of TensorFlow's, else operation by operation on TensorFlow or WebAssembly. */
import type { Tensor as EngineTensor } from "@tensorflow/tfjs";
import { TOLERANCE, differenceOf, sampleInputs } from "../compiler/agreement.ts";
import { compileToAnswer } from "../compiler/tensorflow/answering-model.ts";
import type { Backend, Tf } from "../engine/backend.ts";
import { int64Tensor } from "../engine/session.ts";
import { Failure, asFailure } from "../failure.ts";
import { type LoadedModel, loadModel } from "../formats/model.ts";
import type { Executor } from "./executor.ts";
import type { ModelToLoad } from "./inference-engine.ts";
import type { Datatype, Signature, Tensor, TensorData } from "./tensor.ts";

/** The datatypes that tfjs has. Besides them SavedModels have INT64; the formats refuse models with others. */
const DTYPES: Partial<Record<Datatype, "float32" | "int32" | "bool">> = {
  FP32: "float32",
  INT32: "int32",
  BOOL: "bool",
};

/** Throws Failure: ModelUnsupported, InputMissing. */
export async function openTfjs(backend: Backend, { dir, shownAs }: ModelToLoad): Promise<Executor> {
  const { tf, engine, device } = backend;
  const model = await loadModel(tf, dir, shownAs);
  const { signature } = model;
  const { predict, how } = engine === "TensorFlow" ? await compiled(tf, model) : { predict: model.predict, how: STEPS };
  const why = [...(backend.why === undefined ? [] : [backend.why]), how].join("; ");
  return {
    signature,
    format: model.format,
    engine,
    device,
    why,
    infer: answeringBy(tf, signature, predict),
  };
}

/** Asks `predict`, whose tensors are in the signature's order, and disposes of all of them. */
export function answeringBy(tf: Tf, { outputs }: Signature, predict: Predict): Executor["infer"] {
  return async (inputs) => {
    const tensors = inputs.map((input) => engineTensor(tf, input));
    let results: EngineTensor[] = [];
    try {
      results = await predict(tensors);
      return await Promise.all(outputs.map(({ name, datatype }, index) => read(name, datatype, results[index])));
    } catch (error) {
      throw memoryFailure(error) ?? error;
    } finally {
      tf.dispose([...tensors, ...results]);
    }
  };
}

/** TensorFlow's RESOURCE_EXHAUSTED, which tfjs-node tells in words only. */
function memoryFailure(cause: unknown): Failure | undefined {
  const message = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0]?.slice(0, 400) ?? "";
  if (!/\bOOM when allocating|resource_?exhausted|failed to allocate memory/i.test(message)) return undefined;
  const remedy = "give it more memory, or send smaller batches";
  return new Failure("OutOfMemory", `memory has run out while computing: ${message}; ${remedy}`, { cause });
}

function engineTensor(tf: Tf, { datatype, shape, data }: Tensor): EngineTensor {
  if (data instanceof BigInt64Array) return int64Tensor(tf, data, [...shape]);
  // By `DTYPES` one of the three arrays that tfjs takes.
  return tf.tensor(data as Float32Array | Int32Array | Uint8Array, [...shape], DTYPES[datatype]);
}

const STEPS = "computed operation by operation";

type Predict = LoadedModel["predict"];

const values = (tensors: readonly EngineTensor[]) => Promise.all(tensors.map((tensor) => tensor.data()));

/** The model as a graph, if it can be one and answers as the model does; its layers are then let go. */
async function compiled(tf: Tf, { layers, predict }: LoadedModel): Promise<{ predict: Predict; how: string }> {
  if (layers === undefined) return { predict, how: STEPS };
  const stay = (reason: string) => ({ predict, how: `${STEPS}, as it is not compiled: ${reason}` });
  try {
    const { model, notCompiled } = await compileToAnswer(tf, layers);
    if (model === undefined) {
      return stay(`layer ${notCompiled.layer} of class ${notCompiled.className}: ${notCompiled.reason}`);
    }
    const samples = sampleInputs(tf, layers);
    const [own, found] = [[await predict(samples)].flat(), model.predict(samples)];
    const difference = differenceOf(await values(found), await values(own));
    tf.dispose([...samples, ...own, ...found]);
    if (difference > TOLERANCE) {
      model.dispose();
      return stay(`its answers would differ by ${difference.toExponential(1)}`);
    }
    layers.dispose();
    return { predict: (inputs) => model.predict(inputs), how: "compiled to a graph" };
  } catch (error) {
    return stay(asFailure(error).message);
  }
}

async function read(name: string, datatype: Datatype, tensor: EngineTensor | undefined): Promise<Tensor> {
  if (tensor === undefined) throw new Error(`the model gave no output ${name}`);
  // The dtype decides the array's type, as in TensorData.
  return { name, datatype, shape: tensor.shape, data: (await tensor.data()) as TensorData };
}
