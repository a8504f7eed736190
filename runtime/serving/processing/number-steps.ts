/** Arithmetic before the model. */
import type { InputStep } from "../../../crds/serving.ts";
import { refuse } from "../request-error.ts";
import { type Tensor, type TensorSpec, elements, isNumeric } from "../tensor.ts";
import { type TensorStep, misfit } from "./pipeline.ts";

type Settings<K extends keyof InputStep> = NonNullable<InputStep[K]>;

function floats(field: string) {
  return (inner: TensorSpec): TensorSpec => {
    if (inner.datatype !== "FP32") throw misfit(field, inner, "FP32");
    return inner;
  };
}

function mapped(tensor: Tensor, map: (value: number, index: number) => number): readonly Tensor[] {
  // `floats` has said FP32.
  return [{ ...tensor, data: (tensor.data as Float32Array<ArrayBuffer>).map(map) }];
}

export function rescaleStep({ scale, offset }: Settings<"rescale">, field: string): TensorStep {
  return { outer: floats(field), apply: (tensor) => mapped(tensor, (value) => value * scale + offset) };
}

export function normalizeStep({ mean, std }: Settings<"normalize">, field: string): TensorStep {
  const last = mean.length;
  return {
    outer: (inner) => {
      if (std.length !== last || (last > 1 && inner.shape.at(-1) !== last)) {
        throw misfit(
          field,
          inner,
          `as many columns as there are means (${last}) and standard deviations (${std.length})`,
        );
      }
      return floats(field)(inner);
    },
    apply: (tensor) => mapped(tensor, (value, index) => (value - (mean[index % last] ?? 0)) / (std[index % last] ?? 1)),
  };
}

export function oneHotStep({ classes }: Settings<"oneHot">, field: string): TensorStep {
  return {
    outer: (inner) => {
      if (inner.datatype !== "FP32" || inner.shape.at(-1) !== classes)
        throw misfit(field, inner, `FP32 [...,${classes}]`);
      return { name: inner.name, datatype: "INT32", shape: inner.shape.slice(0, -1) };
    },
    apply: ({ name, shape, data }) => {
      const hot = new Float32Array(elements(shape) * classes);
      for (const [index, value] of isNumeric(data) ? data.entries() : []) {
        const number = Number(value);
        if (number < 0 || number >= classes) refuse(`input '${name}': ${number} is no class from 0 to ${classes - 1}`);
        hot[index * classes + number] = 1;
      }
      return [{ name, datatype: "FP32", shape: [...shape, classes], data: hot }];
    },
  };
}
