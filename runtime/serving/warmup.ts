/** What a model computes before it is ready: whatever its engine prepares at the first use is ready then. */
import { DEFAULT_BATCHING, DEFAULT_WARMUP, type ServingSettings } from "../../crds/serving.ts";
import { Failure } from "../failure.ts";
import type { InferenceEngine } from "./inference-engine.ts";
import { readPrediction } from "./predict.ts";
import type { Pipeline } from "./processing/pipeline.ts";
import { RequestError } from "./request-error.ts";
import { type Signature, type Tensor, elements, newData, repeatRow } from "./tensor.ts";

export interface Warmup {
  readonly engine: InferenceEngine;
  /** The model's own. */
  readonly signature: Signature;
  /** How many rows are computed at a time, and how often each. */
  readonly sizes: readonly number[];
  readonly times: number;
  /** One row of the model's inputs; absent: zeros. */
  readonly sample?: readonly Tensor[] | undefined;
  /** How messages call the model. */
  readonly uri: string;
}

/** The sizes of batches that will be seen: all allowed ones, else the smallest and the largest. */
export function warmupSizes({ batching = DEFAULT_BATCHING }: ServingSettings, batchable: boolean): readonly number[] {
  return batchable ? (batching.allowedSizes ?? [1, batching.maxBatchSize]) : [1];
}

export function warmupTimes({ warmup = DEFAULT_WARMUP }: ServingSettings): number {
  return warmup.requests;
}

/** Throws Failure ModelUnsupported, OutOfMemory; RequestError NotReady when the engine ends. */
export async function warmUp({ engine, signature, sizes, times, sample, uri }: Warmup): Promise<void> {
  try {
    for (const rows of sizes) {
      const inputs = sample?.map((row) => repeatRow(row, rows)) ?? zeros(signature, rows);
      for (let time = 0; time < times; time++) await engine.infer(inputs);
    }
  } catch (error) {
    throw error instanceof Failure ? warmupFailure(uri, error, sample === undefined ? "zeros" : "the sample") : error;
  }
}

/** The declared sample as one row of the model's inputs. Throws Failure InvalidSpec. */
export async function readSample(
  { warmup }: ServingSettings,
  model: string,
  pipeline: Pipeline,
): Promise<readonly Tensor[] | undefined> {
  if (warmup?.sample === undefined) return undefined;
  try {
    const members = { instances: [warmup.sample] };
    const { inputs } = readPrediction({ members }, model, pipeline.signature);
    return await pipeline.before(inputs);
  } catch (cause) {
    if (!(cause instanceof RequestError)) throw cause;
    const message = `warmup.sample is no instance that the model takes: ${cause.message}`;
    throw new Failure("InvalidSpec", message, { cause });
  }
}

function zeros(signature: Signature, rows: number): Tensor[] {
  return signature.inputs.map(({ name, datatype, shape }) => {
    const filled = shape.map((size, index) => (size !== -1 ? size : index === 0 ? rows : 1));
    return { name, datatype, shape: filled, data: newData(datatype, elements(filled)) };
  });
}

function warmupFailure(uri: string, cause: Failure, what: string): Failure {
  const memory = /out of memory|\bOOM\b|resource exhausted/i.test(cause.message);
  const remedy = memory ? "give it more memory" : "check the model's layers and inputs";
  const message = `${uri} cannot be computed on ${what}: ${cause.message}; ${remedy}`;
  return new Failure(memory ? "OutOfMemory" : "ModelUnsupported", message, { cause });
}
