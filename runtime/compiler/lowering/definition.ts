/** How layers become expressions: each class has a description of what it computes from its settings. */
import type { layers } from "@tensorflow/tfjs";
import type { z } from "zod";
import type { Graph, Value } from "../graph.ts";

export type TfLayer = layers.Layer;

/** What a layer has besides in training. */
export interface Training {
  /** Uniform in [0, 1), anew in each step, in the shape of `like`. */
  uniform(like: Value): Value;
  /** The layer's weight `name` becomes `value` after the step. */
  update(name: string, value: Value): void;
}

/** One call of a layer. */
export interface Call<S> {
  graph: Graph;
  layer: TfLayer;
  settings: S;
  inputs: readonly Value[];
  /** Which steps of each input count, bool [batch, steps]. */
  masks: readonly (Value | undefined)[];
  /** The layer's weight `name`. */
  weight(name: string): Value;
  /** Absent when the model answers. */
  training?: Training;
  /** The result of a layer that is part of this one. */
  inner(layer: TfLayer, inputs: readonly Value[], masks: readonly (Value | undefined)[]): Result;
}

export interface Result {
  outputs: readonly Value[];
  /** Which steps of the outputs count. */
  mask?: Value | undefined;
}

export interface LayerLowering<S> {
  /** Reads the layer's own configuration. */
  settings: z.ZodType<S>;
  /** A value alone passes the first input's mask on when the tfjs layer does. */
  lower: (call: Call<S>) => Value | Result;
}

/** A layer, or what it is asked to do, that cannot be expressed. Caught where a model is lowered. */
export class NotExpressible extends Error {}

/** Keeps the settings' type where descriptions of different settings stand in one table. */
export interface AnyLowering {
  lower: (call: Omit<Call<unknown>, "settings">) => Value | Result;
}

export function lowering<S>({ settings, lower }: LayerLowering<S>): AnyLowering {
  return {
    lower: (call) => {
      const read = settings.safeParse(call.layer.getConfig());
      if (read.success) return lower({ ...call, settings: read.data });
      const issue = read.error.issues[0];
      throw new NotExpressible(`its setting ${issue?.path.join(".") ?? ""} is not supported (${issue?.message ?? ""})`);
    },
  };
}

/** The only input. */
export function inputOf({ inputs }: { inputs: readonly Value[] }): Value {
  const [first] = inputs;
  if (first === undefined) throw new NotExpressible("it has no input");
  return first;
}

/** A size that must be known beforehand. */
export function sizeAt(x: Value, axis: number): number {
  const size = x.shape.at(axis) ?? -1;
  if (size !== -1) return size;
  throw new NotExpressible(`the size of dimension ${axis} of its input is open`);
}
