/** A step of training as a function of a graph: forward, loss, gradients, clipping, update of weights, statistics. */
import type { LayersModel } from "@tensorflow/tfjs";
import { add, cast, divide, multiply } from "../expressions/elementwise.ts";
import { concat, oneHot, reshape, unstack } from "../expressions/shaping.ts";
import { mean } from "../expressions/reduction.ts";
import { Graph, type GraphFunction, type Shape, type Update, type Value, firstOf } from "../graph.ts";
import { NotDifferentiable, gradientsOf } from "../gradients.ts";
import { LayerNotCompiled, type ModelWeight, type TrainedModel, lowerForTraining } from "../lowering/model.ts";
import { meanLoss } from "../../training/losses.ts";
import { meanStatistic, statisticsOf } from "../../training/metrics.ts";
import { type Objective, labelsAreClasses, outputOf } from "../../training/objective.ts";
import { type UpdatePlan, clipped, updated } from "../../training/update.ts";
import { graphArithmetic as m } from "./arithmetic.ts";
import { penaltyOf } from "./penalty.ts";

export interface Training {
  model: LayersModel;
  objective: Objective;
  plan: UpdatePlan;
  exampleShape: Shape;
  labelShape: Shape;
  /** Has each example a weight of its own in the loss? */
  weighted: boolean;
}

/** A variable that training keeps, and its value at the start; a weight's is that of the model. */
export interface StateVariable {
  name: string;
  shape: Shape;
  initial?: number;
}

/** What all functions of a training work on. */
export interface TrainingState {
  weights: readonly ModelWeight[];
  /** All that the next step depends on, in the order of checkpoints: weights, slots, sums, averages. */
  state: readonly StateVariable[];
  /** Names of the values of the output `values`, in order. */
  values: readonly string[];
}

export interface TrainFunctions extends TrainingState {
  /** Adds gradients up only; present when several batches make an update. */
  accumulate?: GraphFunction;
  /** Changes the weights. */
  train: GraphFunction;
}

/** Names of the inputs of a step; those that a step does not need are absent. */
export const INPUTS = {
  features: "features",
  labels: "labels",
  weights: "weights",
  seed: "seed",
  scalars: "scalars",
} as const;

/** What is fed beside the rule's numbers: what the average keeps, and what it takes. */
const AVERAGE = ["averageKeeps", "averageTakes"];

/** Names of the numbers that are fed to each update, in order. */
export function scalarNames({ rule, weightDecay, averageDecay }: UpdatePlan): string[] {
  return [
    ...Object.keys(rule.scalars(1, 1)),
    ...(weightDecay === 0 ? [] : ["decay"]),
    ...(averageDecay === undefined ? [] : AVERAGE),
  ];
}

const slotName = (slot: string, { name }: ModelWeight) => `${slot} of ${name}`;

/** Labels in the form of the predictions. */
function targetsOf(objective: Objective, labels: Value, predictions: Value): Value {
  if (!labelsAreClasses(objective)) return reshape(labels, predictions.shape);
  const classes = oneHot(cast(labels, "int32"), predictions.shape.at(-1) ?? 1);
  return reshape(classes, predictions.shape);
}

/** Crossentropy of a softmax is computed from its logits, with the gradient that follows: p - y. */
function lossOf(objective: Objective, targets: Value, predictions: Value, weights: Value | undefined): Value {
  const { loss, lossOptions } = objective;
  const plain = (lossOptions?.labelSmoothing ?? 0) === 0 && lossOptions?.fromLogits !== true;
  const { node } = predictions;
  if (
    !loss.endsWith("ategoricalCrossentropy") ||
    !plain ||
    node.operation !== "softmax" ||
    targets.shape.length !== 2
  ) {
    return meanLoss(m, objective, targets, predictions, weights);
  }
  const rows = { dtype: "float32" as const, shape: predictions.shape.slice(0, 1) };
  const inputs = [firstOf(node.inputs), targets];
  const losses = firstOf(node.graph.add("softmaxCrossEntropy", inputs, {}, [rows, predictions]));
  return mean(weights === undefined ? losses : multiply(losses, weights), 0);
}

/** The values that a step reports, as one tensor. */
export function valuesOf(graph: Graph, named: readonly (readonly [string, Value])[]): Value {
  const parts = named.map(([, value]) => reshape(value, [1]));
  const [only] = parts;
  // An output of its own, where there is one value alone.
  return parts.length === 1 && only !== undefined ? add(only, graph.constant(0)) : concat(parts, 0);
}

export interface Batch {
  trained: TrainedModel;
  loss: Value;
  /** Of the loss by each trainable weight. */
  gradients: { weight: ModelWeight; gradient: Value }[];
  values: readonly (readonly [string, Value])[];
  /** Of statistics that layers keep. */
  kept: Update[];
}

function differentiated(model: LayersModel, loss: Value, weights: readonly Value[]): (Value | undefined)[] {
  try {
    return gradientsOf(loss, weights);
  } catch (error) {
    throw error instanceof NotDifferentiable ? new LayerNotCompiled(model, error) : error;
  }
}

/** Forward, loss and gradients of a batch. Throws what `expressed` catches. */
export function batchOf(graph: Graph, { model, objective, exampleShape, labelShape, weighted }: Training): Batch {
  const input = (name: string, shape: Shape) => graph.input(name, { dtype: "float32", shape });
  const features = input(INPUTS.features, [-1, ...exampleShape]);
  const labels = input(INPUTS.labels, [-1, ...labelShape]);
  const weights = weighted ? input(INPUTS.weights, [-1]) : undefined;
  const kept: Update[] = [];
  const seed = graph.input(INPUTS.seed, { dtype: "int32", shape: [2] });
  const trained = lowerForTraining(model, features, { seed, updates: kept });
  const targets = targetsOf(objective, labels, trained.output);
  const data = lossOf(objective, targets, trained.output, weights);
  const penalty = penaltyOf(model, trained);
  const loss = penalty === undefined ? data : add(data, penalty);
  const trainable = trained.weights.filter(({ trainable: learns }) => learns);
  const gradients = differentiated(
    model,
    loss,
    trainable.map((weight) => trained.valueOf(weight)),
  ).flatMap((gradient, index) => {
    const weight = trainable[index];
    return gradient === undefined || weight === undefined ? [] : [{ weight, gradient }];
  });
  const output = outputOf(model, objective);
  const statistics = statisticsOf(objective.metrics, output).map(
    (statistic) => [statistic, meanStatistic(m, statistic, targets, trained.output, output)] as const,
  );
  return { trained, loss, gradients, kept, values: [["loss", loss], ...statistics] };
}

/** Adam in one operation, where nothing else happens to the weight. */
function fused({ rule, weightDecay }: UpdatePlan, inputs: readonly Value[]): readonly Value[] | undefined {
  const { adam } = rule;
  if (adam === undefined || weightDecay !== 0) return undefined;
  return firstOf(inputs).node.graph.add("adam", inputs, adam, inputs.slice(0, 3));
}

/** New values of a weight, its slots and its average. */
function updatesOf(
  training: Training,
  trained: TrainedModel,
  weight: ModelWeight,
  gradient: Value,
  scalars: ReadonlyMap<string, Value>,
): Update[] {
  const { plan } = training;
  const { graph } = gradient.node;
  const stored = (name: string) => graph.weight(name, { dtype: "float32", shape: weight.shape });
  const scalar = (name: string): Value => {
    const value = scalars.get(name);
    if (value === undefined) throw new RangeError(`an optimizer has no number ${name}`);
    return value;
  };
  const names = plan.rule.slots.map((slot) => slotName(slot.name, weight));
  const value = trained.valueOf(weight);
  const slots = names.map(stored);
  const single =
    plan.averageDecay === undefined && plan.rule.adam !== undefined
      ? fused(plan, [value, ...slots, gradient, scalar("size")])
      : undefined;
  const next =
    single === undefined
      ? updated(m, plan, { weight: value, gradient, slots, scalar })
      : { weight: firstOf(single), slots: single.slice(1) };
  const updates = [next.weight, ...next.slots].map((after, index) => ({
    name: [weight.name, ...names][index] ?? weight.name,
    value: after,
  }));
  if (plan.averageDecay === undefined) return updates;
  const average = slotName("average", weight);
  const kept = multiply(stored(average), scalar("averageKeeps"));
  return [...updates, { name: average, value: add(kept, multiply(next.weight, scalar("averageTakes"))) }];
}

function given(graph: Graph, name: string, shape: Shape, dtype: "float32" | "int32" = "float32") {
  return { name, value: graph.input(name, { dtype, shape }) };
}

/** What forward and gradients are computed of. */
export function batchInputs(graph: Graph, { weighted, exampleShape, labelShape }: Training): GraphFunction["inputs"] {
  return [
    given(graph, INPUTS.features, [-1, ...exampleShape]),
    given(graph, INPUTS.labels, [-1, ...labelShape]),
    ...(weighted ? [given(graph, INPUTS.weights, [-1])] : []),
    given(graph, INPUTS.seed, [2], "int32"),
  ];
}

/** What an update is fed. */
export const updateInput = (graph: Graph, { plan }: Training) =>
  given(graph, INPUTS.scalars, [scalarNames(plan).length]);

function functionOf(graph: Graph, batch: Batch, training: Training, updates: readonly Update[]): GraphFunction {
  return {
    inputs: [...batchInputs(graph, training), updateInput(graph, training)],
    outputs: [{ name: "values", value: valuesOf(graph, batch.values) }],
    updates: [...batch.kept, ...updates],
  };
}

type Gradients = Batch["gradients"];

/** What a step changes when it makes an update, and when it only adds gradients up. */
export interface Changes {
  train: Update[];
  /** Present when several batches make an update. */
  accumulate?: Update[];
}

/** New values of weights, slots, sums and averages. */
export function changesOf(graph: Graph, training: Training, trained: TrainedModel, gradients: Gradients): Changes {
  const { plan } = training;
  const sums = gradients.map(({ weight, gradient }) => {
    const name = slotName("sum", weight);
    return { name, value: add(graph.weight(name, { dtype: "float32", shape: weight.shape }), gradient) };
  });
  const whole = plan.accumulation === 1;
  const means = whole
    ? gradients.map(({ gradient }) => gradient)
    : sums.map(({ value }) => divide(value, plan.accumulation));
  const names = scalarNames(plan);
  const fed = graph.input(INPUTS.scalars, { dtype: "float32", shape: [names.length] });
  const parts = unstack(fed, 0);
  const scalars = new Map(names.map((name, index) => [name, parts[index] ?? fed]));
  const changes = clipped(m, means, plan.clipping).flatMap((gradient, index) => {
    const weight = gradients[index]?.weight;
    return weight === undefined ? [] : updatesOf(training, trained, weight, gradient, scalars);
  });
  if (whole) return { train: changes };
  return {
    train: [...changes, ...sums.map(({ name, value }) => ({ name, value: multiply(value, 0) }))],
    accumulate: sums,
  };
}

/** All that the next step depends on, in the order of checkpoints. */
export function stateOf({ plan }: Training, { weights }: TrainedModel): StateVariable[] {
  const trainable = weights.filter(({ trainable: learns }) => learns);
  const kept = (slot: string, initial: number) =>
    trainable.map((weight) => ({ name: slotName(slot, weight), shape: weight.shape, initial }));
  return [
    ...weights.map(({ name, shape }) => ({ name, shape })),
    ...plan.rule.slots.flatMap((slot) => kept(slot.name, slot.initial)),
    ...(plan.accumulation === 1 ? [] : kept("sum", 0)),
    ...(plan.averageDecay === undefined ? [] : kept("average", 0)),
  ];
}

/** The functions of a training. Throws what `expressed` catches. */
export function trainFunctions(training: Training): TrainFunctions {
  const graph = new Graph();
  const batch = batchOf(graph, training);
  const { trained } = batch;
  const { train, accumulate } = changesOf(graph, training, trained, batch.gradients);
  return {
    ...(accumulate === undefined ? {} : { accumulate: functionOf(graph, batch, training, accumulate) }),
    train: functionOf(graph, batch, training, train),
    weights: trained.weights,
    state: stateOf(training, trained),
    values: batch.values.map(([name]) => name),
  };
}
