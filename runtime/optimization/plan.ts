/** Which candidates are made, and in which order. */
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Method, Quantize } from "../../crds/optimization-methods.ts";

type Optimization = OptimizationRun["optimization"];

export interface Trial {
  /** Numbers of its methods, in order. */
  methods: readonly number[];
  /** What is done: `prune 50 % > quantize Uint8`. */
  name: string;
}

const percent = (share: number) => `${Number((100 * share).toPrecision(3))} %`;

function quantizationOf({ weights, activations, calibration }: Quantize): string[] {
  if (weights !== "Int8") return [weights];
  if (activations !== "Static") return [weights, "Dynamic"];
  return [weights, activations, calibration?.method ?? "MinMax"];
}

/** A method in a few words. */
export function nameOf({ distil, prune, quantize }: Method): string {
  if (distil !== undefined) {
    const { scale, layers } = distil.student;
    return scale === undefined ? `distil into ${layers.length} layers` : `distil into ${percent(scale)}`;
  }
  if (quantize !== undefined) return ["quantize", ...quantizationOf(quantize)].join(" ");
  if (prune.structured !== undefined) return `prune ${percent(prune.structured.sparsity)} of the units`;
  if (prune.magnitude !== undefined) return `prune ${percent(prune.magnitude.sparsity)} of the weights`;
  return `prune ${prune.pattern?.n} of ${prune.pattern?.m}`;
}

/** Methods of one kind are alternatives to each other in a search. */
function kindOf({ distil, prune }: Method): string {
  if (distil !== undefined) return "distil";
  if (prune === undefined) return "quantize";
  return prune.structured === undefined ? "sparse" : "structured";
}

function trial(methods: readonly Method[], numbers: readonly number[]): Trial {
  return {
    methods: numbers,
    name: numbers.flatMap((number) => methods.slice(number, number + 1).map(nameOf)).join(" > "),
  };
}

/** All selections that begin with `chosen`, each before those that go on from it. */
function* selections(methods: readonly Method[], chosen: readonly number[]): Generator<readonly number[]> {
  const kinds = new Set(chosen.map((number) => methods.slice(number).map(kindOf)[0]));
  for (const [number, method] of methods.entries()) {
    if (number <= (chosen.at(-1) ?? -1) || kinds.has(kindOf(method))) continue;
    const next = [...chosen, number];
    yield next;
    yield* selections(methods, next);
  }
}

/** Without search: each method on the result of the one before. Each trial goes on from an earlier one, or the source. */
export function trialsOf({ methods, search }: Pick<Optimization, "methods" | "search">): Trial[] {
  if (search !== undefined) return [...selections(methods, [])].map((numbers) => trial(methods, numbers));
  return methods.map((_, last) =>
    trial(
      methods,
      methods.slice(0, last + 1).map((__, number) => number),
    ),
  );
}
