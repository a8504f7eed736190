/** Does the engine that was built compute? Ends with an error if not. */
import { openBackend } from "../backend.ts";

const { tf, device, versions } = await openBackend("TensorFlow");

function expectValues(what: string, values: ArrayLike<number>, expected: number[]): void {
  const found = Array.from(values);
  if (found.length === expected.length && found.every((value, i) => Math.abs(value - (expected[i] ?? NaN)) < 1e-5))
    return;
  throw new Error(`${what} gave ${found.join(", ")} instead of ${expected.join(", ")}`);
}

const square = tf.tensor2d([1, 2, 3, 4], [2, 2]);
expectValues("matMul", tf.matMul(square, square).dataSync(), [7, 10, 15, 22]);
const image = tf.ones<import("@tensorflow/tfjs").Rank.R4>([1, 4, 4, 1]);
const kernel = tf.ones<import("@tensorflow/tfjs").Rank.R4>([3, 3, 1, 1]);
expectValues("conv2d", tf.conv2d(image, kernel, 1, "valid").dataSync(), [9, 9, 9, 9]);
const gradient = tf.grad((w) => tf.conv2d(image, w as typeof kernel, 1, "valid").sum())(kernel);
expectValues(
  "the gradient of conv2d",
  gradient.dataSync(),
  Array.from({ length: 9 }, () => 4),
);
expectValues("topk", tf.topk(tf.tensor1d([1, 3, 2]), 2).values.dataSync(), [3, 2]);
console.log(`TensorFlow ${versions["libtensorflow"]} computes on ${device}, Node ${versions["node"]}`);
