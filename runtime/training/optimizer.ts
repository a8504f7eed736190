/** Optimizers, made from what a manifest declares. */
import type { Tensor, Variable } from "@tensorflow/tfjs";
import type { Optimizer as Declaration } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import type { Tf } from "../engine/backend.ts";
import { adam } from "./adam.ts";
import { sgd } from "./sgd.ts";

export interface Gradient {
  variable: Variable;
  gradient: Tensor;
}

export interface Optimizer {
  /** Changes the variables. The same variables, in the same order, in each step. */
  apply(gradients: readonly Gradient[]): void;
  dispose(): void;
}

export function optimizerOf(tf: Tf, declaration: Declaration): Optimizer {
  const [name, settings] = only(declaration);
  return name === "adam" ? adam(tf, settings) : sgd(tf, settings);
}
