/** Makes a graph of a layers model: the walk from its inputs to its outputs, through models that are in it. */
import type { LayersModel, SymbolicTensor, Variable } from "@tensorflow/tfjs";
import { Graph, type GraphFunction, type TensorType, type Update, type Value } from "../graph.ts";
import { add } from "../expressions/elementwise.ts";
import { type Call, NotExpressible, type Result, type TfLayer, type Training } from "./definition.ts";
import { lowerings } from "./lowerings.ts";

/** A variable of the model. */
export interface ModelWeight {
  /** Unique in the model: the layer's name and the weight's. */
  name: string;
  shape: readonly number[];
  trainable: boolean;
  variable: Variable;
}

/** A model as a graph. */
export interface LoweredModel {
  graph: Graph;
  weights: readonly ModelWeight[];
  /** Computes the model's answer. */
  answer: GraphFunction;
}

/** Why a model is not compiled, for those who look: the layer, its class and the reason. */
export interface NotCompiled {
  layer: string;
  className: string;
  reason: string;
}

export type Lowered = { model: LoweredModel; notCompiled?: never } | { model?: never; notCompiled: NotCompiled };

type LayerVariable = TfLayer["weights"][number];

const DTYPES: Record<string, TensorType["dtype"]> = { float32: "float32", int32: "int32", bool: "bool" };

/** Why one layer stands in the way. */
export class LayerNotCompiled extends Error {
  readonly why: NotCompiled;
  constructor(layer: TfLayer, cause: unknown) {
    super("a layer is not compiled", { cause });
    const reason = cause instanceof Error ? cause.message : String(cause);
    this.why = { layer: layer.name, className: layer.getClassName(), reason };
  }
}

function weightsOf(model: LayersModel): Map<LayerVariable, ModelWeight> {
  const trainable = new Set(model.trainableWeights);
  const names = new Map<string, number>();
  return new Map(
    model.weights.map((weight) => {
      const known = names.get(weight.originalName) ?? 0;
      names.set(weight.originalName, known + 1);
      const name = known === 0 ? weight.originalName : `${weight.originalName}_${known}`;
      const shape = weight.shape.map((size) => size ?? 1);
      // tfjs reads a weight as the variable that it is.
      return [weight, { name, shape, trainable: trainable.has(weight), variable: weight.read() as Variable }];
    }),
  );
}

/** Where values come from in training. */
export interface TrainingInputs {
  /** int32 [2], another in each step. */
  seed: Value;
  /** Gets the new values of statistics. */
  updates: Update[];
}

/** The call that made a tensor. */
const key = ({ sourceLayer, nodeIndex }: SymbolicTensor) => `${sourceLayer.id}:${nodeIndex}`;

/** Calls a model's layers with expressions. */
class Walk {
  readonly graph: Graph;
  readonly #weights: Map<LayerVariable, ModelWeight>;
  readonly #training: TrainingInputs | undefined;
  #draws = 0;

  constructor(graph: Graph, weights: Map<LayerVariable, ModelWeight>, training?: TrainingInputs) {
    this.graph = graph;
    this.#weights = weights;
    this.#training = training;
  }

  /** The model's outputs for `inputs`. */
  model(model: LayersModel, inputs: readonly Value[], masks: readonly (Value | undefined)[]): Result {
    const results = new Map<string, Result>();
    model.inputs.forEach((input, index) => {
      const value = inputs[index];
      if (value !== undefined) results.set(key(input), { outputs: [value], mask: masks[index] });
    });
    const resultOf = (tensor: SymbolicTensor): Result => {
      const known = results.get(key(tensor));
      if (known !== undefined) return known;
      const layer = tensor.sourceLayer;
      const sources = layer.inboundNodes[tensor.nodeIndex]?.inputTensors ?? [];
      const found = sources.map((source) => ({ source, result: resultOf(source) }));
      const result = this.layer(
        layer,
        found.map(({ source, result: { outputs } }) => outputAt(outputs, source.tensorIndex)),
        found.map(({ result: { mask } }) => mask),
      );
      results.set(key(tensor), result);
      return result;
    };
    const found = model.outputs.map((output) => ({ output, result: resultOf(output) }));
    return {
      outputs: found.map(({ output, result }) => outputAt(result.outputs, output.tensorIndex)),
      mask: found.length === 1 ? found[0]?.result.mask : undefined,
    };
  }

  layer(layer: TfLayer, inputs: readonly Value[], masks: readonly (Value | undefined)[]): Result {
    // A model is a layer that has layers.
    if ("layers" in layer) return this.model(layer as unknown as LayersModel, inputs, masks);
    const lowering = lowerings.get(layer.getClassName());
    try {
      if (lowering === undefined) throw new NotExpressible("the compiler lacks this class of layer");
      const result = lowering.lower(this.#call(layer, inputs, masks));
      if ("outputs" in result) return result;
      return { outputs: [result], mask: layer.supportsMasking ? masks[0] : undefined };
    } catch (error) {
      if (error instanceof LayerNotCompiled) throw error;
      if (error instanceof NotExpressible || error instanceof RangeError) throw new LayerNotCompiled(layer, error);
      throw error;
    }
  }

  #call(
    layer: TfLayer,
    inputs: readonly Value[],
    masks: readonly (Value | undefined)[],
  ): Omit<Call<unknown>, "settings"> {
    const training = this.#trainingOf(layer);
    return {
      graph: this.graph,
      layer,
      inputs,
      masks,
      weight: (name) => this.#weightOf(layer, name).value,
      inner: (one, values, maskOf) => this.layer(one, values, maskOf),
      ...(training === undefined ? {} : { training }),
    };
  }

  #trainingOf(layer: TfLayer): Training | undefined {
    const training = this.#training;
    if (training === undefined) return undefined;
    return {
      uniform: (like) => {
        this.#draws += 1;
        const seed = add(training.seed, this.graph.integers([this.#draws, 0], [2]));
        return this.graph.add("randomUniform", [seed, like], {}, [{ dtype: "float32", shape: like.shape }])[0] ?? like;
      },
      update: (name, value) => {
        if (layer.trainable) training.updates.push({ name: this.#weightOf(layer, name).known.name, value });
      },
    };
  }

  #weightOf(layer: TfLayer, name: string): { known: ModelWeight; value: Value } {
    const variable = layer.weights.find(
      ({ originalName }) => originalName === name || originalName.endsWith(`/${name}`),
    );
    const known = variable === undefined ? undefined : this.#weights.get(variable);
    if (known === undefined) throw new NotExpressible(`it has no weight ${name}`);
    return { known, value: this.graph.weight(known.name, { dtype: "float32", shape: known.shape }) };
  }
}

function outputAt(outputs: readonly Value[], index: number): Value {
  const output = outputs[index];
  if (output === undefined) throw new NotExpressible(`it has no output ${index}`);
  return output;
}

function inputsOf(graph: Graph, model: LayersModel): { name: string; value: Value }[] {
  return model.inputs.map((input, index) => {
    const name = model.inputNames[index] ?? input.name;
    const shape = input.shape.map((size) => size ?? -1);
    return { name, value: graph.input(name, { dtype: DTYPES[input.dtype] ?? "float32", shape }) };
  });
}

/** The model as a graph, or why it cannot be one. */
export function lowerModel(model: LayersModel): Lowered {
  return expressed(() => {
    const graph = new Graph();
    const weights = weightsOf(model);
    const inputs = inputsOf(graph, model);
    const { outputs } = new Walk(graph, weights).model(
      model,
      inputs.map(({ value }) => value),
      [],
    );
    const named = outputs.map((value, index) => ({
      name: model.outputNames[index] ?? model.outputs[index]?.name ?? `output_${index}`,
      value,
    }));
    return { model: { graph, weights: [...weights.values()], answer: { inputs, outputs: named, updates: [] } } };
  });
}

/** What a model with one input and one output computes in training. */
export interface TrainedModel {
  output: Value;
  weights: readonly ModelWeight[];
  /** The value of a weight. */
  valueOf: (weight: ModelWeight) => Value;
}

/** Adds to the graph of `features` what the model computes of them in training. Throws what `expressed` catches. */
export function lowerForTraining(model: LayersModel, features: Value, training: TrainingInputs): TrainedModel {
  const { graph } = features.node;
  const weights = weightsOf(model);
  const [output, ...others] = new Walk(graph, weights, training).model(model, [features], []).outputs;
  if (output === undefined || others.length > 0 || model.inputs.length > 1) {
    throw new LayerNotCompiled(model, new NotExpressible("only models with one input and one output are trained"));
  }
  return {
    output,
    weights: [...weights.values()],
    valueOf: ({ name, shape }) => graph.weight(name, { dtype: "float32", shape }),
  };
}

/** What `make` gives, or why a model cannot be expressed. */
export function expressed<T extends object>(
  make: () => T,
): (T & { notCompiled?: never }) | { notCompiled: NotCompiled } {
  try {
    return make();
  } catch (error) {
    if (error instanceof LayerNotCompiled) return { notCompiled: error.why };
    throw error;
  }
}
