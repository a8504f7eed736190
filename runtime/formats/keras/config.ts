/** The configuration of a Keras model, as far as this runtime reads it. */
import { z } from "zod";

export type Settings = Record<string, unknown>;

/** A serialized layer, model or operation. */
export const Serialized = z.looseObject({
  class_name: z.string(),
  config: z.record(z.string(), z.unknown()),
  name: z.string().optional(),
  inbound_nodes: z.array(z.unknown()).optional(),
  build_config: z.unknown().optional(),
});

export type Serialized = z.output<typeof Serialized>;

/** Layers of a model; more are no model that anyone trained. */
const LAYERS_LIMIT = 10_000;

export const ModelConfig = z.looseObject({
  name: z.string().optional(),
  layers: z.array(Serialized).max(LAYERS_LIMIT),
  build_input_shape: z.array(z.int().nullable()).max(8).nullish(),
  input_layers: z.unknown().optional(),
  output_layers: z.unknown().optional(),
});

export type ModelConfig = z.output<typeof ModelConfig>;

export const MODEL_CLASSES = new Set(["Functional", "Model", "Sequential"]);

/** One tensor of the graph: name of the layer, which of its calls, which of its outputs. */
export type History = [layer: string, call: number, output: number];

const HistorySchema = z.tuple([z.string(), z.int().min(0), z.int().min(0)]);

const KerasTensor = z.looseObject({
  class_name: z.literal("__keras_tensor__"),
  config: z.looseObject({ keras_history: HistorySchema }),
});

/** The tensor that `value` stands for, in the form of Keras 3. */
export function tensorOf(value: unknown): History | undefined {
  const parsed = KerasTensor.safeParse(value);
  return parsed.success ? parsed.data.config.keras_history : undefined;
}

/** The tensor that `value` stands for, in the form of Keras 2. */
export function historyOf(value: unknown): History | undefined {
  const list: unknown = Array.isArray(value) ? value.slice(0, 3) : value;
  const parsed = HistorySchema.safeParse(list);
  return parsed.success ? parsed.data : undefined;
}

/** Inputs or outputs of a model: one, a list, or by name, in which case Keras sorts the names. */
export function endsOf(value: unknown): History[] {
  const one = historyOf(value);
  if (one !== undefined) return [one];
  if (Array.isArray(value)) return value.flatMap(endsOf);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, end]) => endsOf(end));
}
