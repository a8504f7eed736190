/** Where windows that slide over places begin and end. */
import type { Padding } from "../operations.ts";
import { NotEmittable } from "./emitter.ts";
import type { OnnxAttribute } from "./file.ts";

interface Window {
  readonly size: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: Padding;
}

/** Zeros before and after along one dimension, as TensorFlow puts them: the odd one at the end. */
function edges(places: number, size: number, stride: number, dilation: number): [number, number] {
  const reach = (size - 1) * dilation + 1;
  const total = Math.max((Math.ceil(places / stride) - 1) * stride + reach - places, 0);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** Attributes of a convolution or pooling over `places`. */
export function windowAttributes(
  places: readonly number[],
  { size, strides, dilations, padding }: Window,
): Record<string, OnnxAttribute> {
  const common = { kernel_shape: { ints: size }, strides: { ints: strides }, dilations: { ints: dilations } };
  if (padding === "valid") return common;
  if (places.includes(-1)) {
    if (dilations.some((rate) => rate !== 1)) throw new NotEmittable("a dilated window pads a size that is open");
    return { ...common, auto_pad: { string: "SAME_UPPER" } };
  }
  const pads = places.map((length, axis) => edges(length, size[axis] ?? 1, strides[axis] ?? 1, dilations[axis] ?? 1));
  return { ...common, pads: { ints: [...pads.map(([before]) => before), ...pads.map(([, after]) => after)] } };
}

/** Attributes of a transposed convolution from `places` to `results`. */
export function transposedAttributes(
  places: readonly number[],
  results: readonly number[],
  { size, strides, padding }: Omit<Window, "dilations">,
): Record<string, OnnxAttribute> {
  if (places.includes(-1) || results.includes(-1)) throw new NotEmittable("a transposed convolution has an open size");
  const pads = results.map((length, axis): [number, number] =>
    padding === "valid" ? [0, 0] : edges(length, size[axis] ?? 1, strides[axis] ?? 1, 1),
  );
  const missing = results.map((length, axis) => {
    const full = (strides[axis] ?? 1) * ((places[axis] ?? 1) - 1) + (size[axis] ?? 1);
    const [before, after] = pads[axis] ?? [0, 0];
    return length - full + before + after;
  });
  return {
    kernel_shape: { ints: size },
    strides: { ints: strides },
    pads: { ints: [...pads.map(([before]) => before), ...pads.map(([, after]) => after)] },
    output_padding: { ints: missing },
  };
}
