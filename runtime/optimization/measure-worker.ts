/** A process that opens models as serving does, and measures what they answer and how fast. */
import type { FailureReason } from "../../crds/contract/exit-code.ts";
import { onParentMessage, sendToParent } from "../engine/child.ts";
import { Failure, asFailure } from "../failure.ts";
import { openExecutor } from "../serving/choose-executor.ts";
import type { Executor } from "../serving/executor.ts";
import type { ModelToLoad } from "../serving/inference-engine.ts";
import { ARRAYS, type Tensor } from "../serving/tensor.ts";
import { BATCH, type Speed, type Subject, measureSpeed } from "./speed.ts";

export interface MeasureRequest {
  models: ModelToLoad[];
  features: Float32Array;
  exampleShape: number[];
  count: number;
}

export interface Answers extends Speed {
  engine: string;
  device: string;
  /** Values of the model's output for all examples. */
  predictions: Float32Array;
  /** Shape of one answer. */
  answerShape: number[];
}

export type MeasureReply =
  | { type: "measured"; answers: Answers[] }
  | { type: "failed"; reason: FailureReason; message: string };

const EVALUATION_BATCH = 256;

/** Examples `start` to `start + rows` of the request, from the first again where it has fewer. */
function inputOf(executor: Executor, request: MeasureRequest, start: number, rows: number): Tensor {
  const [spec] = executor.signature.inputs;
  if (spec === undefined) throw new Failure("ModelUnsupported", "The model has no input");
  const { features, exampleShape, count } = request;
  const width = exampleShape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from(
    { length: rows * width },
    (_, i) => features[(start * width + i) % (count * width)] ?? 0,
  );
  const isInteger = spec.datatype === "INT32";
  const data = isInteger ? ARRAYS.INT32.from(values) : values;
  return { name: spec.name, datatype: isInteger ? "INT32" : "FP32", shape: [rows, ...exampleShape], data };
}

async function answer(executor: Executor, input: Tensor): Promise<{ values: Float32Array; shape: readonly number[] }> {
  const [output] = await executor.infer([input]);
  if (output === undefined || !(output.data instanceof ARRAYS.FP32)) {
    throw new Failure("ModelUnsupported", "The model's answer is no tensor of 32-bit floats");
  }
  return { values: output.data, shape: output.shape.slice(1) };
}

async function predictions(executor: Executor, request: MeasureRequest) {
  const parts: Float32Array[] = [];
  let answerShape: readonly number[] = [];
  for (let start = 0; start < request.count; start += EVALUATION_BATCH) {
    const rows = Math.min(EVALUATION_BATCH, request.count - start);
    const { values, shape } = await answer(executor, inputOf(executor, request, start, rows));
    parts.push(values);
    answerShape = shape;
  }
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return { predictions: all, answerShape: [...answerShape] };
}

function subject(executor: Executor, request: MeasureRequest): Subject {
  const [single, batch] = [inputOf(executor, request, 0, 1), inputOf(executor, request, 0, BATCH)];
  return { one: () => executor.infer([single]), many: () => executor.infer([batch]) };
}

async function measure(request: MeasureRequest): Promise<MeasureReply> {
  try {
    const executors: Executor[] = [];
    for (const model of request.models) executors.push(await openExecutor(model));
    const found: Awaited<ReturnType<typeof predictions>>[] = [];
    for (const executor of executors) found.push(await predictions(executor, request));
    const speeds = await measureSpeed(
      executors.map((executor) => subject(executor, request)),
      () => performance.now(),
    );
    const answers = executors.flatMap(({ engine, device }, index): Answers[] => {
      const [said, speed] = [found[index], speeds[index]];
      return said === undefined || speed === undefined ? [] : [{ engine, device, ...said, ...speed }];
    });
    return { type: "measured", answers };
  } catch (error) {
    const { reason, message } = asFailure(error);
    return { type: "failed", reason, message };
  }
}

// The parent ends this process; a signal to its group is the parent's to judge.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => undefined);
onParentMessage((message) => {
  // The parent is this program.
  void measure(message as MeasureRequest)
    .then(sendToParent)
    .then(() => process.exit());
});
