/** What an optimizer remembers of each variable: zeros of its shape at first. */
import type { Variable } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";

export interface Slots {
  of(variable: Variable): Variable;
  dispose(): void;
}

export function slots(tf: Tf): Slots {
  const byVariable = new Map<number, Variable>();
  return {
    of(variable) {
      const known = byVariable.get(variable.id);
      if (known !== undefined) return known;
      const slot = tf.tidy(() => tf.variable(tf.zeros(variable.shape), false));
      byVariable.set(variable.id, slot);
      return slot;
    },
    dispose() {
      for (const slot of byVariable.values()) slot.dispose();
      byVariable.clear();
    },
  };
}
