/** Measures models on the engine that would serve them: what they get right, their bytes, and, in turns, their speed. */
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { createGzip } from "node:zlib";
import type { Compute } from "../../crds/contract/run.ts";
import type { Measurement } from "../../crds/optimization-job.ts";
import { type Dataset, sizeOf } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { crashOf, moduleBeside, startChild } from "../engine/child.ts";
import { Failure } from "../failure.ts";
import { ONNX_FILE, modelFileIn } from "../formats/model.ts";
import type { ModelToLoad } from "../serving/inference-engine.ts";
import { listFiles } from "../store/files.ts";
import { Averages } from "../training/averages.ts";
import { lossFunction } from "../training/losses.ts";
import { metricValues, statisticValues } from "../training/metrics.ts";
import { type Objective, targetsOf } from "../training/objective.ts";
import { type Comparison, compare } from "./goals.ts";
import type { Answers, MeasureReply, MeasureRequest } from "./measure-worker.ts";

/** A model's folder. */
export interface Measurable {
  dir: string;
  shownAs: string;
  parameters: number;
  /** Its files, relative; default: all. */
  files?: readonly string[] | undefined;
}

/** Bytes of a file after gzip. */
async function gzipBytes(path: string): Promise<number> {
  let bytes = 0;
  const compressed = createReadStream(path, { highWaterMark: 1 << 20 }).pipe(createGzip());
  for await (const chunk of compressed) bytes += (chunk as Buffer).length;
  return bytes;
}

async function sizesOf({ dir, files }: Measurable): Promise<{ bytes: number; compressedBytes: number }> {
  let [bytes, compressedBytes] = [0, 0];
  for (const file of files ?? (await listFiles(dir))) {
    const path = join(dir, file);
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) bytes += (chunk as Buffer).length;
    compressedBytes += await gzipBytes(path);
  }
  return { bytes, compressedBytes };
}

/** Has a process of its own measure. Throws Failure; the signal's reason once it is aborted. */
export async function answersOf(request: MeasureRequest, signal?: AbortSignal): Promise<Answers[]> {
  signal?.throwIfAborted();
  const child = startChild<MeasureRequest, MeasureReply>(moduleBeside(import.meta.url, "./measure-worker"));
  let reply: MeasureReply | undefined;
  child.onMessage((message) => {
    reply = message;
  });
  const stop = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", stop, { once: true });
  child.send(request);
  const exit = await child.exited;
  signal?.removeEventListener("abort", stop);
  signal?.throwIfAborted();
  if (reply === undefined) throw crashOf(exit);
  if (reply.type === "failed") throw new Failure(reply.reason, reply.message);
  return reply.answers;
}

const SCORED = 256;

/** Loss and metrics of these predictions. */
export function score(tf: Tf, objective: Objective, dataset: Dataset, answers: Answers): Record<string, number> {
  const { predictions, answerShape } = answers;
  const { loss, lossOptions, metrics } = objective;
  const output = { loss, lossOptions, size: answerShape.at(-1) ?? 1 };
  const [width, labelWidth] = [sizeOf(answerShape), dataset.labels.length / dataset.count];
  const averages = new Averages();
  for (let start = 0; start < dataset.count; start += SCORED) {
    const end = Math.min(start + SCORED, dataset.count);
    const values = tf.tidy(() => {
      const found = tf.tensor(predictions.subarray(start * width, end * width), [end - start, ...answerShape]);
      const labels = dataset.labels.subarray(start * labelWidth, end * labelWidth);
      const targets = targetsOf(tf, objective, found.shape, labels);
      const weights = dataset.weights === undefined ? undefined : tf.tensor1d(dataset.weights.subarray(start, end));
      return {
        loss: lossFunction(loss, lossOptions)(tf, targets, found, weights).dataSync()[0] ?? NaN,
        ...statisticValues(tf, metrics, targets, found, output),
      };
    });
    averages.add(values, end - start);
  }
  return metricValues(metrics, averages.values(), output);
}

export interface MeasureOptions {
  tf: Tf;
  objective: Objective;
  test: Dataset;
  compute: Compute;
  threads: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What computes in serving: the engine that was asked for, or, of ONNX, the only one that does. */
async function toLoad({ dir, shownAs }: Measurable, { compute, threads }: MeasureOptions): Promise<ModelToLoad> {
  const isOnnx = (await modelFileIn(dir, shownAs)) === ONNX_FILE;
  return { dir, shownAs, threads, ...(isOnnx ? { engine: "OnnxRuntime" } : compute) };
}

/** Both models side by side. Throws Failure. */
export async function measure(
  before: Measurable,
  after: Measurable,
  options: MeasureOptions,
): Promise<{ comparison: Comparison; answers: [before: Answers, after: Answers] }> {
  const { tf, objective, test, signal } = options;
  const models = [await toLoad(before, options), await toLoad(after, options)];
  const { features, exampleShape, count } = test;
  const [first, second] = await answersOf({ models, features, exampleShape, count }, signal);
  if (first === undefined || second === undefined) throw new Failure("InternalError", "A model was not measured");
  const measurementOf = async (model: Measurable, answers: Answers): Promise<Measurement> => {
    const { loss = NaN, accuracy } = score(tf, objective, test, answers);
    const { latencyP50Milliseconds, throughputPerSecond, engine } = answers;
    return {
      ...(await sizesOf(model)),
      parameters: model.parameters,
      ...(accuracy === undefined ? {} : { accuracy }),
      loss,
      latencyP50Milliseconds,
      throughputPerSecond,
      engine,
    };
  };
  const comparison = compare(await measurementOf(before, first), await measurementOf(after, second));
  return { comparison, answers: [first, second] };
}
