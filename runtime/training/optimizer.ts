/** Changes the weights of a model operation by operation, as a declared update says. */
import type { Tensor, Variable } from "@tensorflow/tfjs";
import type { Update } from "../../crds/optimizer.ts";
import type { Tf } from "../engine/backend.ts";
import { eager } from "./arithmetic.ts";
import { averaged, clipped, scalarsOf, updateOfStep, updatePlan, updated } from "./update.ts";

export interface Gradient {
  variable: Variable;
  gradient: Tensor;
}

export interface Optimizer {
  /** Takes the gradients of one step, which counts from 0; the same variables in each step. */
  apply(gradients: readonly Gradient[], step: number, rateFactor?: number): void;
  /** The scheduled learning rate of the step with this number. */
  learningRate(step: number): number;
  /** All that it remembers of `variables` from one step to the next, in a fixed order. */
  memory(variables: readonly Variable[]): Variable[];
  /** The moving average of each variable; undefined where none is declared. */
  averages(variables: readonly Variable[]): Variable[] | undefined;
  dispose(): void;
}

export function optimizerOf(tf: Tf, declared: Update): Optimizer {
  const plan = updatePlan(declared);
  const m = eager(tf);
  const { rule, accumulation, averageDecay } = plan;
  const slots = rule.slots.map(({ initial }) => variablesLike(tf, initial));
  const sums = variablesLike(tf, 0);
  const averages = variablesLike(tf, 0);
  const all = [...slots, ...(accumulation === 1 ? [] : [sums]), ...(averageDecay === undefined ? [] : [averages])];

  function accumulate(gradients: readonly Gradient[], ends: boolean): Tensor[] {
    if (accumulation === 1) return gradients.map(({ gradient }) => gradient);
    const totals = gradients.map(({ variable, gradient }) => tf.add(sums.of(variable), gradient));
    gradients.forEach(({ variable }, index) => {
      const total = totals[index] ?? tf.zeros(variable.shape);
      sums.of(variable).assign(ends ? tf.zeros(variable.shape) : total);
    });
    return totals.map((total) => tf.div(total, accumulation));
  }

  return {
    apply(gradients, step, rateFactor) {
      tf.tidy(() => {
        const update = updateOfStep(plan, step);
        const means = accumulate(gradients, update !== undefined);
        if (update === undefined) return;
        const scalars = scalarsOf(plan, update, rateFactor);
        const scalar = (name: string) => scalars[name] ?? NaN;
        clipped(m, means, plan.clipping).forEach((gradient, index) => {
          const variable = gradients[index]?.variable;
          if (variable === undefined) return;
          const own = slots.map((one) => one.of(variable));
          const next = updated<Tensor>(m, plan, { weight: variable, gradient, slots: own, scalar });
          variable.assign(next.weight);
          own.forEach((one, position) => one.assign(next.slots[position] ?? one));
          if (averageDecay === undefined) return;
          const average = averages.of(variable);
          average.assign(averaged<Tensor>(m, average, variable, averageDecay, update).clone());
        });
      });
    },
    learningRate: (step) => plan.schedule(Math.floor(step / accumulation)),
    memory: (variables) => all.flatMap((one) => variables.map((variable) => one.of(variable))),
    averages: (variables) =>
      averageDecay === undefined ? undefined : variables.map((variable) => averages.of(variable)),
    dispose() {
      for (const one of [...slots, sums, averages]) one.dispose();
    },
  };
}

/** Variables in the shape of others, made when they are first asked for. */
function variablesLike(tf: Tf, initial: number) {
  const byVariable = new Map<number, Variable>();
  return {
    of(variable: Variable): Variable {
      const known = byVariable.get(variable.id);
      if (known !== undefined) return known;
      const slot = tf.tidy(() => tf.variable(tf.fill(variable.shape, initial), false));
      byVariable.set(variable.id, slot);
      return slot;
    },
    dispose(): void {
      for (const slot of byVariable.values()) slot.dispose();
      byVariable.clear();
    },
  };
}
