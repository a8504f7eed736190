/** Keeps weights of a model at zero while it is trained. */
import type { LayersModel, Tensor, Variable } from "@tensorflow/tfjs";
import type { Magnitude, Prune } from "../../../crds/optimization-methods.ts";
import type { Tf } from "../../engine/backend.ts";
import type { StoredModel } from "../../formats/tfjs-layers.ts";
import { type Weights, weightsOf, withWeights } from "../channels/weights.ts";
import { isSparsable, magnitudeMask, patternMask } from "./mask.ts";
import { type SparsitySchedule, sparsityAt, updatesAt } from "./schedule.ts";

/** Makes a mask of a weight as it is now. */
export type Masking = (weights: Weights) => Float32Array;

/** What masks are made before the step with this number; undefined: those there are stay. */
export type MaskPlan = (step: number) => Masking | undefined;

const atFirst =
  (masking: Masking): MaskPlan =>
  (step) =>
    step === 0 ? masking : undefined;

/** What is zero stays zero. */
export const keepingZeros: MaskPlan = atFirst(({ data }) => data.map((value) => (value === 0 ? 0 : 1)));

/** The schedule of a magnitude pruning over so many steps of training. */
export function scheduleOf(magnitude: Magnitude, steps: number): SparsitySchedule {
  const { sparsity, initialSparsity, power, schedule, endStep = Math.floor(0.75 * steps) } = magnitude;
  const end = schedule === "Constant" ? 0 : Math.min(endStep, Math.max(0, steps - 1));
  const { frequency = Math.max(1, Math.min(100, Math.floor(end / 10))) } = magnitude;
  return { initialSparsity, finalSparsity: sparsity, begin: 0, end, frequency, power };
}

/** What the method asks for in a training of so many steps; undefined: no masks. */
export function maskPlan({ magnitude, pattern }: Prune, steps: number): MaskPlan | undefined {
  if (pattern !== undefined) return atFirst((weights) => patternMask(weights, pattern.n, pattern.m));
  if (magnitude === undefined) return undefined;
  const schedule = scheduleOf(magnitude, steps);
  return (step) => {
    if (!updatesAt(schedule, step)) return undefined;
    const sparsity = sparsityAt(schedule, step);
    return ({ data }) => magnitudeMask(data, sparsity);
  };
}

/** The stored model with the masks of the plan's first step. */
export function masked(stored: StoredModel, plan: MaskPlan): StoredModel {
  const masking = plan(0);
  if (masking === undefined) return stored;
  const weights = [...weightsOf(stored)].map(([name, weight]): [string, Weights] => {
    if (!isSparsable(name, weight.shape)) return [name, weight];
    const mask = masking(weight);
    return [name, { ...weight, data: weight.data.map((value, index) => value * (mask[index] ?? 1)) }];
  });
  return withWeights(stored, stored.topology, new Map(weights));
}

/** The masks of a model that is being trained. */
export class Masks {
  readonly #tf: Tf;
  readonly #plan: MaskPlan;
  readonly #variables: Variable[];
  #masks: Tensor[] = [];

  constructor(tf: Tf, model: LayersModel, plan: MaskPlan) {
    this.#tf = tf;
    this.#plan = plan;
    this.#variables = model.trainableWeights
      .filter(({ originalName, shape }) => isSparsable(originalName, shape as number[]))
      .map((weight) => weight.read() as Variable);
  }

  /** Makes masks anew where the plan says so. */
  before(step: number): void {
    const masking = this.#plan(step);
    if (masking === undefined) return;
    this.#set(this.#variables.map((variable) => masking({ shape: variable.shape, data: valuesOf(variable) })));
    this.apply();
  }

  apply(): void {
    this.#masks.forEach((mask, index) => {
      const variable = this.#variables[index];
      this.#tf.tidy(() => variable?.assign(this.#tf.mul(variable, mask)));
    });
  }

  /** One for each weight that is made sparse; ones where none was made yet. */
  read(): Float32Array[] {
    return this.#variables.map((variable, index) => {
      const mask = this.#masks[index];
      return mask === undefined ? new Float32Array(variable.size).fill(1) : valuesOf(mask);
    });
  }

  /** Throws RangeError when they are of another model. */
  write(values: readonly Float32Array[]): void {
    const fits = this.#variables.every((variable, index) => variable.size === values[index]?.length);
    if (!fits || values.length !== this.#variables.length) throw new RangeError("it is of another model");
    this.#set(values);
  }

  get count(): number {
    return this.#variables.length;
  }

  dispose(): void {
    this.#tf.dispose(this.#masks);
    this.#masks = [];
  }

  #set(values: readonly Float32Array[]): void {
    this.dispose();
    this.#masks = this.#variables.map((variable, index) =>
      this.#tf.tensor(values[index] ?? [], variable.shape, "float32"),
    );
  }
}

function valuesOf(tensor: Tensor): Float32Array {
  return Float32Array.from(tensor.dataSync());
}
