import { add, multiply } from "./expressions/elementwise.ts";
import { Graph, nodesFor } from "./graph.ts";

it("what a value depends on comes in an order in which it can be computed", () => {
  const graph = new Graph();
  const x = graph.input("x", { dtype: "float32", shape: [-1] });
  const sum = add(x, 1);
  multiply(x, 3);
  const square = multiply(sum, sum);
  expect(nodesFor([square]).map(({ name }) => name)).toEqual(["input_0", "constant_0", "binary_0", "binary_2"]);
});

it("inputs, weights and numbers of the same name are the same", () => {
  const graph = new Graph();
  const type = { dtype: "float32", shape: [2] } as const;
  expect(graph.weight("kernel", type)).toBe(graph.weight("kernel", type));
  expect(graph.input("kernel", type)).not.toBe(graph.weight("kernel", type));
  expect(graph.constant(1)).toBe(graph.constant(1));
  expect(graph.constant(0)).not.toBe(graph.constant(-0));
});
