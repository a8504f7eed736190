/** Keras and tfjs models: compiled to a graph of TensorFlow's, else operation by operation on TensorFlow or WebAssembly. */
import type { Tensor as EngineTensor } from "@tensorflow/tfjs";
import { TOLERANCE, differenceOf, sampleInputs } from "../compiler/agreement.ts";
import { compileToAnswer } from "../compiler/tensorflow/answering-model.ts";
import type { Backend, Tf } from "../engine/backend.ts";
import { asFailure } from "../failure.ts";
import { type LoadedModel, loadModel } from "../formats/model.ts";
import type { Executor } from "./executor.ts";
import type { ModelToLoad } from "./inference-engine.ts";
import type { Datatype, Tensor, TensorData } from "./tensor.ts";

/** The datatypes that tfjs computes with; the formats refuse models with others. */
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
    infer: async (inputs) => {
      const tensors = inputs.map(({ data, shape, datatype }) =>
        // By `DTYPES` one of the three arrays that tfjs takes.
        tf.tensor(data as Float32Array | Int32Array | Uint8Array, [...shape], DTYPES[datatype]),
      );
      let results: EngineTensor[] = [];
      try {
        results = await predict(tensors);
        return await Promise.all(
          signature.outputs.map((spec, index) => read(spec.name, spec.datatype, results[index])),
        );
      } finally {
        tf.dispose([...tensors, ...results]);
      }
    },
  };
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
