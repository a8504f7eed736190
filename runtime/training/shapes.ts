/** What shape an example has after each layer, worked out before anything is computed; errors name the layer's field. */
import type { Layer, PreprocessingStep } from "../../crds/model.ts";
import { only } from "../../crds/schema.ts";
import { sizeOf } from "../data/dataset.ts";
import { Failure } from "../failure.ts";

function invalid(field: string, message: string): Failure {
  return new Failure("InvalidSpec", `${field}: ${message}`);
}

const show = (shape: readonly number[]) => `[${shape.join(", ")}]`;

type Window = readonly number[];

/** Height and width after a window of `size` has moved over `input` by `strides`. */
function slide(field: string, input: readonly number[], size: Window, strides: Window, padding: "valid" | "same") {
  return [0, 1].map((axis) => {
    const [length = 0, window = 1, stride = 1] = [input[axis], size[axis], strides[axis]];
    if (padding === "same") return Math.ceil(length / stride);
    const result = Math.floor((length - window) / stride) + 1;
    if (result >= 1) return result;
    throw invalid(
      field,
      `a window of ${show(size)} does not fit into ${show(input.slice(0, 2))}; use padding same, or a smaller one`,
    );
  });
}

function requireImage(field: string, shape: readonly number[]): [number, number, number] {
  const [height, width, channels] = shape;
  if (shape.length === 3 && height !== undefined && width !== undefined && channels !== undefined)
    return [height, width, channels];
  throw invalid(
    field,
    `needs an input of shape [height, width, channels], but it gets ${show(shape)}; add {reshape: {shape: […]}} to spec.preprocessing, or move the layer`,
  );
}

function requireFlat(field: string, shape: readonly number[]): void {
  if (shape.length === 1) return;
  throw invalid(field, `needs a flat input, but it gets ${show(shape)}; add {flatten: {}} before it`);
}

/** Shape of an example after the layer, without the batch. Throws Failure InvalidSpec. */
export function shapeAfterLayer(layer: Layer, input: readonly number[], path: string): number[] {
  const [name, settings] = only(layer);
  const field = `${path}.${name}`;
  switch (name) {
    case "dense":
      requireFlat(field, input);
      return [settings.units];
    case "conv2d":
      requireImage(field, input);
      return [...slide(field, input, settings.kernelSize, settings.strides, settings.padding), settings.filters];
    case "maxPooling2d": {
      const [, , channels] = requireImage(field, input);
      const { poolSize, strides = poolSize, padding } = settings;
      return [...slide(field, input, poolSize, strides, padding), channels];
    }
    case "flatten":
      return [sizeOf(input)];
    case "dropout":
      return [...input];
  }
}

/** Shape of an example after a step on its features. Throws Failure InvalidSpec. */
export function shapeAfterStep(step: PreprocessingStep, input: readonly number[], path: string): number[] {
  if (step.reshape === undefined) return [...input];
  const { shape } = step.reshape;
  if (sizeOf(shape) === sizeOf(input)) return [...shape];
  throw invalid(
    `${path}.reshape.shape`,
    `${show(shape)} has ${sizeOf(shape)} values, but an example has ${sizeOf(input)}; correct it`,
  );
}
