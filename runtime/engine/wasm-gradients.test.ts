import "./test-realm.ts";
import type { Tensor4D } from "@tensorflow/tfjs";
import { type Backend, openBackend } from "./backend.ts";

const CASES = [
  { input: [2, 8, 8, 3], filter: [3, 3, 3, 4], strides: [1, 1], padding: "same" },
  { input: [2, 8, 8, 3], filter: [3, 3, 3, 4], strides: [1, 1], padding: "valid" },
  { input: [2, 9, 7, 2], filter: [3, 2, 2, 5], strides: [2, 2], padding: "same" },
  { input: [2, 9, 8, 2], filter: [3, 2, 2, 5], strides: [2, 2], padding: "valid" },
  { input: [3, 10, 9, 1], filter: [2, 3, 1, 2], strides: [3, 2], padding: "valid" },
  { input: [1, 10, 11, 2], filter: [5, 5, 2, 3], strides: [3, 3], padding: "same" },
  { input: [1, 6, 6, 2], filter: [1, 1, 2, 3], strides: [2, 2], padding: "same" },
] as const;

type Shape = [number, number, number, number];

let backend: Backend;

beforeAll(async () => {
  backend = await openBackend("Wasm");
  backend.tf.env().set("IS_TEST", true); // the reference backend would recommend another one
});

/** Gradients of a sum of squares, so that dy is not constant. */
async function gradients(name: "cpu" | "wasm", { input, filter, strides, padding }: (typeof CASES)[number]) {
  const { tf } = backend;
  await tf.setBackend(name);
  const x = tf.randomUniform([...input] as Shape, -1, 1, "float32", 7);
  const w = tf.randomUniform([...filter] as Shape, -1, 1, "float32", 8);
  const [dx, dw] = tf.grads((a, b) =>
    tf.sum(tf.square(tf.conv2d(a as Tensor4D, b as Tensor4D, [...strides], padding))),
  )([x, w]);
  return { dx: Array.from((await dx?.data()) ?? []), dw: Array.from((await dw?.data()) ?? []) };
}

function largestDifference(a: number[], b: number[]): number {
  const scale = Math.max(...b.map(Math.abs));
  return Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? NaN)) / scale));
}

it.each(CASES)(
  "gives the gradients of the reference backend: $input, $filter, strides $strides, $padding",
  async (example) => {
    const expected = await gradients("cpu", example);
    const found = await gradients("wasm", example);
    expect(found.dx.length).toBe(example.input.reduce<number>((a, b) => a * b, 1));
    expect(found.dw.length).toBe(example.filter.reduce<number>((a, b) => a * b, 1));
    expect(largestDifference(found.dx, expected.dx)).toBeLessThan(1e-6);
    expect(largestDifference(found.dw, expected.dw)).toBeLessThan(1e-6);
  },
);

it("leaves no tensors behind", async () => {
  const { tf } = backend;
  await tf.setBackend("wasm");
  const x = tf.ones<import("@tensorflow/tfjs").Rank.R4>([1, 6, 6, 1]);
  const w = tf.ones<import("@tensorflow/tfjs").Rank.R4>([3, 3, 1, 2]);
  const before = tf.memory().numTensors;
  const [dx, dw] = tf.grads((a, b) => tf.sum(tf.conv2d(a as Tensor4D, b as Tensor4D, 2, "same")))([x, w]);
  expect(tf.memory().numTensors).toBe(before + 2);
  tf.dispose([dx ?? x, dw ?? w]);
});
