/** Makes an ONNX model of layers that computes with integers of 8 bits. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { Quantize } from "../../crds/optimization-methods.ts";
import { lowerModel, type LoweredModel } from "../compiler/lowering/model.ts";
import { type CalibrationBatch, type CalibrationMethod, calibrate } from "../compiler/onnx/calibration.ts";
import { type EmitOptions, emitOnnx } from "../compiler/onnx/emit.ts";
import { NotEmittable } from "../compiler/onnx/emitter.ts";
import { batchesOf } from "../data/batches.ts";
import type { Examples } from "../data/dataset.ts";
import { Random } from "../data/random.ts";
import { Failure } from "../failure.ts";
import { readOnnx } from "../formats/onnx/model-file.ts";

type Signature = ArtefactManifest["signature"];

export interface Int8Options {
  /** Examples by which ranges of activations are found. */
  examples?: Examples | undefined;
  /** Draws them. */
  seed: number;
  /** Names of inputs and outputs: those of the model that the optimization began with, for whoever calls it. */
  signature: Signature;
}

const DEFAULTS = { method: "MinMax", examples: 512 } as const;
const PERCENTILE = 99.99;
const BATCH = 64;

function unsupported(why: string): Failure {
  return new Failure(
    "ModelUnsupported",
    `spec.methods: quantize.weights Int8: ${why}; use Uint8, Uint16 or Float16 for this model`,
  );
}

function methodOf({ method, percentile = PERCENTILE }: NonNullable<Quantize["calibration"]>): CalibrationMethod {
  return method === "Percentile" ? { method, percentile } : { method };
}

/** The first `count` examples in the order that the seed gives. Throws Failure InvalidSpec without examples. */
function calibrationBatches(
  { answer }: LoweredModel,
  count: number,
  { examples, seed }: Int8Options,
): CalibrationBatch[] {
  if (examples === undefined) {
    throw new Failure("InvalidSpec", "spec.dataset.calibration: activations Static needs examples; set it, or train");
  }
  const order = new Random(seed, "calibration").permutation(examples.count);
  const drawn = { ...examples, count: Math.min(count, examples.count) };
  const isInteger = answer.inputs[0]?.value.dtype === "int32";
  return [...batchesOf(drawn, BATCH, order)].map((batch): CalibrationBatch => {
    const { features, exampleShape } = batch;
    return [{ data: isInteger ? Int32Array.from(features) : features, shape: [batch.count, ...exampleShape] }];
  });
}

function withNames(model: LoweredModel, { inputs, outputs }: Signature): LoweredModel {
  const { answer } = model;
  const renamed = {
    ...answer,
    inputs: answer.inputs.map((input, index) => ({ ...input, name: inputs[index]?.name ?? input.name })),
    outputs: answer.outputs.map((output, index) => ({ ...output, name: outputs[index]?.name ?? output.name })),
  };
  return { ...model, answer: renamed };
}

async function optionsFor(model: LoweredModel, quantize: Quantize, options: Int8Options): Promise<EmitOptions> {
  if (quantize.activations !== "Static") return { precision: "Int8Dynamic" };
  const { calibration = DEFAULTS } = quantize;
  const batches = calibrationBatches(model, calibration.examples, options);
  return { precision: "Int8Static", ranges: await calibrate(model, batches, methodOf(calibration)) };
}

/**
 * The model's file. Throws Failure: ModelUnsupported for layers that ONNX or its compiler lack, and for a model in which
 * nothing becomes an integer; InvalidSpec where examples are missing.
 */
export async function int8Onnx(
  source: LayersModel,
  quantize: Quantize,
  options: Int8Options,
): Promise<Uint8Array<ArrayBuffer>> {
  const { model, notCompiled } = lowerModel(source);
  if (notCompiled !== undefined) {
    const { layer, className, reason } = notCompiled;
    throw unsupported(`layer ${layer} of class ${className} cannot be compiled: ${reason}`);
  }
  try {
    const named = withNames(model, options.signature);
    const bytes = await emitOnnx(named, await optionsFor(named, quantize, options));
    if (readOnnx(bytes, "the model").quantized) return bytes;
  } catch (error) {
    if (error instanceof NotEmittable) throw unsupported(error.message);
    throw error;
  }
  throw unsupported("it has no weights that would be smaller or faster as integers");
}
