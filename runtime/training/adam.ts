/** Adam as Keras computes it: epsilon is added before the bias correction, other than in tfjs. */
import type { Tf } from "../engine/backend.ts";
import type { Optimizer } from "./optimizer.ts";
import { slots } from "./slots.ts";

export interface AdamSettings {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
}

export function adam(tf: Tf, { learningRate, beta1, beta2, epsilon }: AdamSettings): Optimizer {
  const means = slots(tf);
  const variances = slots(tf);
  return {
    slots: [means, variances],
    apply(gradients, step) {
      const t = step + 1;
      const rate = (learningRate * Math.sqrt(1 - beta2 ** t)) / (1 - beta1 ** t);
      tf.tidy(() => {
        for (const { variable, gradient } of gradients) {
          const mean = means.of(variable);
          const variance = variances.of(variable);
          mean.assign(tf.add(mean, tf.mul(tf.sub(gradient, mean), 1 - beta1)));
          variance.assign(tf.add(variance, tf.mul(tf.sub(tf.square(gradient), variance), 1 - beta2)));
          variable.assign(tf.sub(variable, tf.div(tf.mul(mean, rate), tf.add(tf.sqrt(variance), epsilon))));
        }
      });
    },
    dispose() {
      means.dispose();
      variances.dispose();
    },
  };
}
