/** What is told of a model's scores: the best of them, their names, and which reach a threshold. */
import type { OutputStep } from "../../../crds/serving.ts";
import { Failure } from "../../failure.ts";
import type { Signature, Tensor, TensorSpec } from "../tensor.ts";
import { readLines } from "./model-lines.ts";
import type { ModelFolder } from "./pipeline.ts";

/** All kinds of steps together. */
export interface ScoreSettings {
  readonly labels?: NonNullable<OutputStep["labels"]>;
  readonly topK?: number;
  readonly threshold?: number;
}

export interface ScoreReader {
  readonly outputs: readonly TensorSpec[];
  readonly read: (outputs: readonly Tensor[]) => readonly Tensor[];
}

/** Throws Failure: InvalidSpec, InputMissing. */
export async function scoreReader(
  settings: ScoreSettings,
  { outputs }: Signature,
  folder: ModelFolder,
): Promise<ScoreReader> {
  const [scores, ...more] = outputs;
  const [, classes] = scores?.shape ?? [];
  if (
    scores === undefined ||
    more.length > 0 ||
    scores.datatype !== "FP32" ||
    scores.shape.length !== 2 ||
    classes === undefined ||
    classes < 1
  ) {
    const found = outputs.map(({ datatype, shape }) => `${datatype} [${shape.join(",")}]`).join(", ");
    throw new Failure(
      "InvalidSpec",
      `processing.output: the model must have one output of scores, FP32 [-1,N]; it has ${found}`,
    );
  }
  const { topK = classes, threshold } = settings;
  if (topK > classes) throw new Failure("InvalidSpec", `processing.output.topK: the model has ${classes} classes only`);
  const labels = await labelsOf(settings, classes, folder);
  const told = [
    { ...scores, shape: [-1, topK] },
    ...(labels === undefined ? [] : [{ name: "labels", datatype: "BYTES" as const, shape: [-1, topK] }]),
    ...(settings.topK === undefined ? [] : [{ name: "classes", datatype: "INT32" as const, shape: [-1, topK] }]),
    ...(threshold === undefined ? [] : [{ name: "decisions", datatype: "BOOL" as const, shape: [-1, topK] }]),
  ];
  return { outputs: told, read: ([tensor]) => (tensor === undefined ? [] : tell(tensor, settings, topK, labels)) };
}

async function labelsOf(
  { labels }: ScoreSettings,
  classes: number,
  folder: ModelFolder,
): Promise<readonly Uint8Array[] | undefined> {
  if (labels === undefined) return undefined;
  const field = "processing.output.labels";
  const names = labels.names ?? (await readLines(folder, labels.file ?? "", `${field}.file`));
  if (names.length !== classes) {
    throw new Failure(
      "InvalidSpec",
      `${field}: there are ${names.length} labels for the model's ${classes} classes; give one for each`,
    );
  }
  return names.map((name) => Buffer.from(name));
}

function tell(
  tensor: Tensor,
  { topK, threshold }: ScoreSettings,
  width: number,
  labels: readonly Uint8Array[] | undefined,
): readonly Tensor[] {
  const [rows = 0, classes = 0] = tensor.shape;
  // `scoreReader` has said FP32.
  const data = tensor.data as Float32Array<ArrayBuffer>;
  const shape = [rows, width];
  const kept = new Int32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    kept.set(
      topK === undefined ? range(classes) : best(data.subarray(row * classes, (row + 1) * classes), width),
      row * width,
    );
  }
  const scores = Float32Array.from(kept, (index, at) => data[Math.floor(at / width) * classes + index] ?? 0);
  const told: Tensor[] = [{ ...tensor, shape, data: scores }];
  if (labels !== undefined) {
    told.push({
      name: "labels",
      datatype: "BYTES",
      shape,
      data: Array.from(kept, (index) => labels[index] ?? Buffer.alloc(0)),
    });
  }
  if (topK !== undefined) told.push({ name: "classes", datatype: "INT32", shape, data: kept });
  if (threshold !== undefined) {
    told.push({
      name: "decisions",
      datatype: "BOOL",
      shape,
      data: Uint8Array.from(scores, (score) => Number(score >= threshold)),
    });
  }
  return told;
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

/** Indices of the highest scores, falling; the lower index first among equals, NaN last. */
function best(scores: Float32Array, count: number): number[] {
  const value = (index: number) => (Number.isNaN(scores[index]) ? -Infinity : (scores[index] ?? 0));
  return range(scores.length)
    .sort((a, b) => value(b) - value(a) || a - b)
    .slice(0, count);
}
