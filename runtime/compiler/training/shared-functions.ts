/**
 * A step of training in two functions, for several workers: one computes gradients of a part of a batch, and the other
 * changes the weights by those of all parts. In between they are one row of numbers, a parcel.
 */
import { add } from "../expressions/elementwise.ts";
import { concat, reshape, split } from "../expressions/shaping.ts";
import { Graph, type GraphFunction, type Shape, type Update } from "../graph.ts";
import {
  type Training,
  type TrainingState,
  batchInputs,
  batchOf,
  changesOf,
  stateOf,
  updateInput,
  valuesOf,
} from "./train-function.ts";

export interface SharedFunctions extends TrainingState {
  /** Computes the parcel, and changes nothing: gradients, statistics that layers keep, values. */
  compute: GraphFunction;
  /** Adds the parcel's gradients up only; present when several batches make an update. */
  accumulate?: GraphFunction;
  /** Changes the weights by the parcel. */
  train: GraphFunction;
}

/** Name of the parcel, as output and as input. */
export const PARCEL = "parcel";

const sizeOf = (shape: Shape) => shape.reduce((product, size) => product * size, 1);

/** Throws what `expressed` catches. */
export function sharedFunctions(training: Training): SharedFunctions {
  const graph = new Graph();
  const { trained, gradients, kept, values } = batchOf(graph, training);
  const all = [
    ...gradients.map(({ gradient, weight }) => ({ value: gradient, shape: weight.shape })),
    ...kept.map(({ value }) => ({ value, shape: value.shape })),
    { value: valuesOf(graph, values), shape: [values.length] },
  ];
  const sizes = all.map(({ shape }) => sizeOf(shape));
  const rows = all.map(({ value }, index) => reshape(value, [sizes[index] ?? 0]));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const parcel = graph.input(PARCEL, { dtype: "float32", shape: [total] });
  const parts = split(parcel, sizes, 0).map((part, index) => reshape(part, all[index]?.shape ?? []));
  const partAt = (index: number) => parts[index] ?? parcel;
  const means = gradients.map(({ weight }, index) => ({ weight, gradient: partAt(index) }));
  const statistics = kept.map(({ name }, index) => ({ name, value: partAt(gradients.length + index) }));
  const changes = changesOf(graph, training, trained, means);
  const ofParcel = (updates: readonly Update[]): GraphFunction => ({
    inputs: [{ name: PARCEL, value: parcel }, updateInput(graph, training)],
    outputs: [{ name: "values", value: add(partAt(all.length - 1), graph.constant(0)) }],
    updates: [...statistics, ...updates],
  });
  return {
    compute: {
      inputs: batchInputs(graph, training),
      outputs: [{ name: PARCEL, value: concat(rows, 0) }],
      updates: [],
    },
    ...(changes.accumulate === undefined ? {} : { accumulate: ofParcel(changes.accumulate) }),
    train: ofParcel(changes.train),
    weights: trained.weights,
    state: stateOf(training, trained),
    values: values.map(([name]) => name),
  };
}
