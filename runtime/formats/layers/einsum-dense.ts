/** EinsumDense: a contraction of the input with a kernel, by an equation such as `abc,cd->abd`. */
import type { Shape, Tensor } from "@tensorflow/tfjs";
import { z } from "zod";
import type { Tf } from "../../engine/backend.ts";
import { activate } from "./activation.ts";
import { type Definition, known, only } from "./definition.ts";
import { Activation, Size } from "./settings.ts";

const Settings = z.object({
  equation: z.string().regex(/^(\.\.\.)?[a-z]{1,8},[a-z]{1,8}->(\.\.\.)?[a-z]{1,8}$/),
  outputShape: z.union([Size.transform((one) => [one]), z.array(Size.nullable()).max(8)]),
  biasAxes: z.string().nullish(),
  activation: Activation,
});

type Settings = z.output<typeof Settings>;

/** Labels of dimensions; those that `...` stands for are capitals. */
interface Equation {
  input: string[];
  kernel: string[];
  output: string[];
}

export function parseEquation(equation: string, rank: number): Equation {
  const [left = "", output = ""] = equation.split("->");
  const [input = "", kernel = ""] = left.split(",");
  const rest = rank - input.replace("...", "").length;
  const open = Array.from({ length: Math.max(0, rest) }, (_, index) => String.fromCodePoint(0x41 + index)).join("");
  const labels = (text: string) => Array.from(text.replace("...", open));
  return { input: labels(input), kernel: labels(kernel), output: labels(output) };
}

/** Sizes by labels: the input's, and those that the layer's configuration gives to the output. */
function sizesOf(
  { input, output }: Equation,
  shape: Shape,
  given: readonly (number | null)[],
): Map<string, number | null> {
  const sizes = new Map<string, number | null>();
  output.forEach((label, index) => sizes.set(label, given[index - output.length + given.length] ?? null));
  input.forEach((label, index) => sizes.set(label, shape[index] ?? null));
  return sizes;
}

const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1);

/** The contraction as one product of matrices, for each label that all three have. */
function contract(tf: Tf, { input, kernel, output }: Equation, x: Tensor, weights: Tensor): Tensor {
  const both = input.filter((label) => kernel.includes(label));
  const batch = both.filter((label) => output.includes(label));
  const inner = both.filter((label) => !output.includes(label));
  const rows = input.filter((label) => !both.includes(label));
  const columns = kernel.filter((label) => !both.includes(label));
  const size = (label: string) =>
    (input.includes(label) ? x.shape[input.indexOf(label)] : weights.shape[kernel.indexOf(label)]) ?? 1;
  const sizes = (labels: readonly string[]) => labels.map(size);
  const ordered = (tensor: Tensor, labels: readonly string[], order: readonly string[]) =>
    tf.transpose(
      tensor,
      order.map((label) => labels.indexOf(label)),
    );
  const left = tf.reshape(ordered(x, input, [...batch, ...rows, ...inner]), [
    product(sizes(batch)),
    product(sizes(rows)),
    product(sizes(inner)),
  ]);
  const right = tf.reshape(ordered(weights, kernel, [...batch, ...inner, ...columns]), [
    product(sizes(batch)),
    product(sizes(inner)),
    product(sizes(columns)),
  ]);
  const found = [...batch, ...rows, ...columns];
  return ordered(tf.reshape(tf.matMul(left, right), sizes(found)), found, output);
}

export const einsumDense: Definition<Settings> = {
  className: "EinsumDense",
  settings: Settings,
  weights: (shapes, settings) => {
    const shape = only(shapes);
    const equation = parseEquation(settings.equation, shape.length);
    const sizes = sizesOf(equation, shape, settings.outputShape);
    const size = (label: string) => known(sizes.get(label), `the size of ${label} in ${settings.equation}`);
    const axes = settings.biasAxes;
    if (axes === undefined || axes === null) return [{ name: "kernel", shape: equation.kernel.map(size) }];
    const first = equation.output.findIndex((label) => axes.includes(label));
    const biased = equation.output.slice(first).map((label) => (axes.includes(label) ? size(label) : 1));
    return [
      { name: "kernel", shape: equation.kernel.map(size) },
      { name: "bias", shape: biased },
    ];
  },
  outputShape: (shapes, settings) => {
    const shape = only(shapes);
    const equation = parseEquation(settings.equation, shape.length);
    const sizes = sizesOf(equation, shape, settings.outputShape);
    return equation.output.map((label) => sizes.get(label) ?? null);
  },
  compute: ({ tf, settings, inputs, weight }) => {
    const x = only(inputs);
    const found = contract(tf, parseEquation(settings.equation, x.rank), x, weight("kernel"));
    return activate(tf, settings.activation, (settings.biasAxes ?? "") === "" ? found : tf.add(found, weight("bias")));
  },
  passesMask: true,
};
