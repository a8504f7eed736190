/** Optimizers, made from what a manifest declares. */
import type { Tensor, Variable } from "@tensorflow/tfjs";
import type { Optimizer as Declaration } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import type { Tf } from "../engine/backend.ts";
import { adam } from "./adam.ts";
import { sgd } from "./sgd.ts";
import type { Slots } from "./slots.ts";

export interface Gradient {
  variable: Variable;
  gradient: Tensor;
}

export interface Optimizer {
  /** Changes the variables. The same variables, in the same order, in each step; `step` counts from 0. */
  apply(gradients: readonly Gradient[], step: number): void;
  /** All that it remembers from one step to the next, in a fixed order. */
  slots: readonly Slots[];
  dispose(): void;
}

export function optimizerOf(tf: Tf, declaration: Declaration): Optimizer {
  const [name, settings] = only(declaration);
  return name === "adam" ? adam(tf, settings) : sgd(tf, settings);
}
