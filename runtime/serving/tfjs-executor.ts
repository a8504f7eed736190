/** Keras and tfjs models, computed operation by operation on TensorFlow or WebAssembly. */
import type { Tensor as EngineTensor } from "@tensorflow/tfjs";
import type { Backend } from "../engine/backend.ts";
import { loadModel } from "../formats/model.ts";
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
  const { tf, engine, device, why } = backend;
  const model = await loadModel(tf, dir, shownAs);
  const { signature } = model;
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
        results = await model.predict(tensors);
        return await Promise.all(
          signature.outputs.map((spec, index) => read(spec.name, spec.datatype, results[index])),
        );
      } finally {
        tf.dispose([...tensors, ...results]);
      }
    },
  };
}

async function read(name: string, datatype: Datatype, tensor: EngineTensor | undefined): Promise<Tensor> {
  if (tensor === undefined) throw new Error(`the model gave no output ${name}`);
  // The dtype decides the array's type, as in TensorData.
  return { name, datatype, shape: tensor.shape, data: (await tensor.data()) as TensorData };
}
