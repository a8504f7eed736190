/** Measures how fast two models answer, in turns, so that a change of the machine's load hits both. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import { type Dataset, sizeOf } from "../data/dataset.ts";
import type { Tf } from "../engine/backend.ts";
import { breathe } from "../training/breathe.ts";

export interface Speed {
  /** Median milliseconds of one prediction of one example. */
  latencyP50Milliseconds: number;
  /** Examples per second in batches of 32; the best round counts. */
  throughputPerSecond: number;
}

const ROUNDS = 12;
const SINGLES = 16;
const BATCHES = 4;
const BATCH = 32;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** `count` examples of the dataset, from the first again where it has fewer. */
function inputOf(
  { features, exampleShape, count }: Dataset,
  examples: number,
): { values: Float32Array; shape: number[] } {
  const size = sizeOf(exampleShape);
  const values = Float32Array.from({ length: examples * size }, (_, i) => features[i % (count * size)] ?? 0);
  return { values, shape: [examples, ...exampleShape] };
}

class Stopwatch {
  readonly latencies: number[] = [];
  readonly rates: number[] = [];
  readonly #predict: (examples: number) => void;
  readonly #clock: () => number;

  constructor(predict: (examples: number) => void, clock: () => number) {
    this.#predict = predict;
    this.#clock = clock;
  }

  round(): void {
    for (let i = 0; i < SINGLES; i += 1) {
      const start = this.#clock();
      this.#predict(1);
      this.latencies.push(this.#clock() - start);
    }
    const start = this.#clock();
    for (let i = 0; i < BATCHES; i += 1) this.#predict(BATCH);
    this.rates.push((1000 * BATCH * BATCHES) / (this.#clock() - start));
  }

  speed(): Speed {
    return { latencyP50Milliseconds: median(this.latencies), throughputPerSecond: Math.max(...this.rates) };
  }
}

/** `clock`: milliseconds. The first round of each model warms up and does not count. */
export async function measureSpeed<Name extends string>(
  tf: Tf,
  models: Record<Name, LayersModel>,
  dataset: Dataset,
  clock: () => number,
): Promise<Record<Name, Speed>> {
  const single = inputOf(dataset, 1);
  const many = inputOf(dataset, BATCH);
  const predictWith = (model: LayersModel) => (examples: number) => {
    const { values, shape } = examples === 1 ? single : many;
    tf.tidy(() => void (model.predict(tf.tensor(values, shape), { batchSize: examples }) as Tensor).dataSync());
  };
  const names = Object.keys(models) as Name[];
  const watches = names.map((name) => ({ name, watch: new Stopwatch(predictWith(models[name]), clock) }));
  for (const { watch } of watches) watch.round();
  for (const { watch } of watches) watch.latencies.length = watch.rates.length = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    // Who begins changes: the second may find warmer caches.
    const order = round % 2 === 0 ? watches : [...watches].reverse();
    for (const { watch } of order) {
      watch.round();
      await breathe();
    }
  }
  return Object.fromEntries(watches.map(({ name, watch }) => [name, watch.speed()])) as Record<Name, Speed>;
}
