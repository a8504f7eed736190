/** What was measured, as numbers in the artefact's manifest, and back: an adopted artefact tells what it cost. */
import { Measurement } from "../../crds/optimization-job.ts";
import type { Comparison } from "./goals.ts";
import { compare } from "./goals.ts";

function flat(prefix: string, measurement: Measurement): Record<string, number> {
  return Object.fromEntries(
    Object.entries(measurement).flatMap(([name, value]) => (value === undefined ? [] : [[`${prefix}${name}`, value]])),
  );
}

export function toNumbers({ before, after }: Comparison): Record<string, number> {
  return { ...flat("", after), ...flat("before.", before) };
}

/** Undefined when the numbers are not those of an optimization. */
export function fromNumbers(numbers: Record<string, number> | undefined): Comparison | undefined {
  const parts = (prefix: string) =>
    Measurement.safeParse(
      Object.fromEntries(
        Object.keys(Measurement.shape).flatMap((name) => {
          const value = numbers?.[`${prefix}${name}`];
          return value === undefined ? [] : [[name, value]];
        }),
      ),
    );
  const [before, after] = [parts("before."), parts("")];
  return before.success && after.success ? compare(before.data, after.data) : undefined;
}
