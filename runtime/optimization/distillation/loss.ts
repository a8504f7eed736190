/** What a student is taught by: the answers of its teacher, softened (Hinton, Vinyals and Dean 2015). */
import type { Scalar, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";

/** How answers are compared. Classes: logits [batch, …, classes]; Binary: logits of yes; Values: numbers. */
export type AnswerKind = "Classes" | "Binary" | "Values";

/** Two logits whose softmax is the sigmoid of one. */
const asClasses = (tf: Tf, logits: Tensor) => tf.stack([logits, tf.zerosLike(logits)], -1);

/**
 * T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over all but the last axis; T^2 keeps gradients as large as
 * those of the hard loss. For numbers, the mean squared difference.
 */
export function softLoss(tf: Tf, kind: AnswerKind, teacher: Tensor, student: Tensor, temperature: number): Scalar {
  if (kind === "Values") return tf.mean(tf.square(tf.sub(student, teacher)));
  const soft = (logits: Tensor) =>
    tf.logSoftmax(tf.div(kind === "Binary" ? asClasses(tf, logits) : logits, temperature), -1);
  const [wanted, found] = [soft(teacher), soft(student)];
  const divergence = tf.sum(tf.mul(tf.exp(wanted), tf.sub(wanted, found)), -1);
  return tf.mul(tf.mean(divergence), temperature * temperature);
}

/** alpha soft + (1 - alpha) hard. */
export function distillationLoss(tf: Tf, alpha: number, soft: Scalar, hard: Scalar): Scalar {
  return tf.add(tf.mul(soft, alpha), tf.mul(hard, 1 - alpha));
}
