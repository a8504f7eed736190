/** Steps before the model that are learned from the training data, and from nothing else: what they learn goes into the model. */
import { type PreprocessingStep } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import { batchesOf } from "../data/batches.ts";
import { type Examples, sizeOf } from "../data/dataset.ts";
import { Failure } from "../failure.ts";

/** x becomes (x - centre) / spread, for each feature: each place in the last dimension. */
export interface Statistics {
  centre: number[];
  spread: number[];
}

/** What the step with the same number has learned; undefined for one that learns nothing. */
export type FittedSteps = readonly (Statistics | undefined)[];

const BATCH = 1024;
/** As many statistics as a layer may hold. */
const MOST_FEATURES = 65_536;

/** Sums over all examples, by feature. */
interface Summary {
  count: number;
  mean: Float64Array;
  /** Sum of squared differences from the mean (Welford 1962). */
  squares: Float64Array;
  lowest: Float64Array;
  highest: Float64Array;
}

type Change = (value: number, place: number) => number;

function summarize(train: Examples, width: number, changes: readonly Change[]): Summary {
  const summary: Summary = {
    count: 0,
    mean: new Float64Array(width),
    squares: new Float64Array(width),
    lowest: new Float64Array(width).fill(Infinity),
    highest: new Float64Array(width).fill(-Infinity),
  };
  const counts = new Float64Array(width);
  for (const { features } of batchesOf(train, BATCH)) {
    for (let place = 0; place < features.length; place += 1) {
      const value = changes.reduce((changed, change) => change(changed, place), features[place] ?? 0);
      const feature = place % width;
      const count = (counts[feature] ?? 0) + 1;
      const before = summary.mean[feature] ?? 0;
      const mean = before + (value - before) / count;
      counts[feature] = count;
      summary.mean[feature] = mean;
      summary.squares[feature] = (summary.squares[feature] ?? 0) + (value - before) * (value - mean);
      summary.lowest[feature] = Math.min(summary.lowest[feature] ?? value, value);
      summary.highest[feature] = Math.max(summary.highest[feature] ?? value, value);
    }
  }
  return { ...summary, count: counts[0] ?? 0 };
}

/** A feature that is always the same becomes 0, and stays near it. */
const orOne = (spread: number) => (spread > 0 && Number.isFinite(spread) ? spread : 1);

function learn(kind: "standardize" | "minMax", { count, mean, squares, lowest, highest }: Summary): Statistics {
  if (kind === "standardize") {
    return { centre: Array.from(mean), spread: Array.from(squares, (sum) => orOne(Math.sqrt(sum / count))) };
  }
  return { centre: Array.from(lowest), spread: Array.from(highest, (high, i) => orOne(high - (lowest[i] ?? 0))) };
}

/**
 * Goes through the training data once for each step that learns, with the steps before it applied.
 * Throws Failure InvalidSpec.
 */
export function fitSteps(steps: readonly PreprocessingStep[], train: Examples): FittedSteps {
  const changes: Change[] = [];
  let shape = train.exampleShape;
  return steps.map((step, index) => {
    const [kind, settings] = only(step);
    if (kind === "rescale") changes.push((value) => value * settings.scale + settings.offset);
    if (kind === "reshape") shape = settings.shape;
    if (kind !== "standardize" && kind !== "minMax") return undefined;
    const width = shape.at(-1) ?? sizeOf(shape);
    if (width > MOST_FEATURES) {
      throw new Failure(
        "InvalidSpec",
        `spec.preprocessing[${index}].${kind}: examples have ${width} features, and at most ${MOST_FEATURES} are learned; use rescale`,
      );
    }
    const learned = learn(kind, summarize(train, width, changes));
    changes.push(
      (value, place) => (value - (learned.centre[place % width] ?? 0)) / (learned.spread[place % width] ?? 1),
    );
    return learned;
  });
}
