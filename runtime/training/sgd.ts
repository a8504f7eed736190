/** Stochastic gradient descent with momentum as Keras computes it: m = momentum * m - rate * g; w += m, with nesterov w += momentum * m - rate * g. */
import type { Tf } from "../engine/backend.ts";
import type { Optimizer } from "./optimizer.ts";
import { slots } from "./slots.ts";

export interface SgdSettings {
  learningRate: number;
  momentum: number;
  nesterov: boolean;
}

export function sgd(tf: Tf, { learningRate, momentum, nesterov }: SgdSettings): Optimizer {
  const velocities = slots(tf);
  return {
    slots: momentum === 0 ? [] : [velocities],
    apply(gradients) {
      tf.tidy(() => {
        for (const { variable, gradient } of gradients) {
          const step = tf.mul(gradient, -learningRate);
          if (momentum === 0) {
            variable.assign(tf.add(variable, step));
            continue;
          }
          const velocity = velocities.of(variable);
          velocity.assign(tf.add(tf.mul(velocity, momentum), step));
          const change = nesterov ? tf.add(tf.mul(velocity, momentum), step) : velocity;
          variable.assign(tf.add(variable, change));
        }
      });
    },
    dispose: () => velocities.dispose(),
  };
}
