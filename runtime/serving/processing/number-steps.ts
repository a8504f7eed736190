/** Arithmetic before the model. */
import type { InputStep } from "../../../crds/serving.ts";
import { refuse } from "../request-error.ts";
import { type Tensor, type TensorSpec, elements, isNumeric } from "../tensor.ts";
import { type TensorStep, misfit } from "./pipeline.ts";

type Settings<K extends keyof InputStep> = NonNullable<InputStep[K]>;

function checkFloats(made: TensorSpec, field: string): void {
  if (made.datatype !== "FP32") throw misfit(field, made, "FP32");
}

function mapped(tensor: Tensor, map: (value: number, index: number) => number): readonly Tensor[] {
  // `checkFloats` has said FP32.
  return [{ ...tensor, data: (tensor.data as Float32Array<ArrayBuffer>).map(map) }];
}

export function rescaleStep({ scale, offset }: Settings<"rescale">, made: TensorSpec, field: string): TensorStep {
  checkFloats(made, field);
  return { outer: made, apply: (tensor) => mapped(tensor, (value) => value * scale + offset) };
}

export function normalizeStep({ mean, std }: Settings<"normalize">, made: TensorSpec, field: string): TensorStep {
  const columns = mean.length;
  checkFloats(made, field);
  if (std.length !== columns || (columns > 1 && made.shape.at(-1) !== columns)) {
    const counts = `means (${columns}) and standard deviations (${std.length})`;
    throw misfit(field, made, `as many columns as there are ${counts}`);
  }
  const normalized = (value: number, index: number) =>
    (value - (mean[index % columns] ?? 0)) / (std[index % columns] ?? 1);
  return { outer: made, apply: (tensor) => mapped(tensor, normalized) };
}

export function oneHotStep({ classes }: Settings<"oneHot">, made: TensorSpec, field: string): TensorStep {
  checkFloats(made, field);
  if (made.shape.at(-1) !== classes) throw misfit(field, made, `FP32 [...,${classes}]`);
  return {
    outer: { name: made.name, datatype: "INT32", shape: made.shape.slice(0, -1) },
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
