/** Compiles a layers model to ONNX and checks it against the model itself. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import { type OnnxType, onnxTensor, openOnnx } from "../../engine/onnx-runtime.ts";
import { signatureOf } from "../../formats/signature.ts";
import { TOLERANCE, differenceOf, sampleInputs } from "../agreement.ts";
import { lowerModel } from "../lowering/model.ts";
import { emitOnnx } from "./emit.ts";
import { NotEmittable } from "./emitter.ts";

export type OnnxCompilation =
  | { readonly bytes: Uint8Array<ArrayBuffer>; readonly difference: number; readonly reason?: never }
  | { readonly bytes?: never; readonly reason: string };

/** The model in float32 as ONNX, or why it is none. */
export async function compileToOnnx(tf: Tf, source: LayersModel): Promise<OnnxCompilation> {
  const { model, notCompiled } = lowerModel(source);
  if (notCompiled !== undefined) {
    const { layer, className, reason } = notCompiled;
    return { reason: `layer ${layer} of class ${className}: ${reason}` };
  }
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await emitOnnx(model);
  } catch (error) {
    if (!(error instanceof NotEmittable)) throw error;
    return { reason: error.message };
  }
  const difference = await differenceFrom(tf, source, bytes);
  if (difference <= TOLERANCE) return { bytes, difference };
  return { reason: `compiled, its answers differ by ${difference.toExponential(1)} from the model's own` };
}

/** Largest difference of the ONNX model's answers to samples from the model's own, scaled by max(1, |y|). */
export async function differenceFrom(tf: Tf, source: LayersModel, bytes: Uint8Array): Promise<number> {
  const { inputs, outputs } = signatureOf(source);
  const samples = sampleInputs(tf, source);
  const session = await openOnnx(bytes, "the compiled model");
  try {
    const given = await Promise.all(
      samples.map(async (sample, index) => {
        const data = await sample.data();
        return [inputs[index]?.name ?? "", onnxTensor(sample.dtype as OnnxType, data, sample.shape)] as const;
      }),
    );
    const found = await session.run(
      Object.fromEntries(given),
      outputs.map(({ name }) => name),
    );
    const own = predict(tf, source, samples);
    const expected = await Promise.all(own.map((tensor) => tensor.data()));
    tf.dispose(own);
    return differenceOf(
      outputs.map(({ name }) => (found[name]?.data ?? []) as ArrayLike<number>),
      expected,
    );
  } finally {
    tf.dispose(samples);
    await session.dispose();
  }
}

function predict(tf: Tf, source: LayersModel, inputs: Tensor[]): Tensor[] {
  const [only] = inputs;
  return tf.tidy(() => [source.predictOnBatch(inputs.length === 1 && only !== undefined ? only : inputs)].flat());
}
