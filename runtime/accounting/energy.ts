/** Energy of a run and the greenhouse gas that it stands for. Pure; what is measured comes from the meter. */
import { z } from "zod";
import type { Energy } from "../../crds/accounts.ts";
import type { EnergyModel } from "../../crds/contract/energy-model.ts";

/** What a meter has counted; of several processes it adds up. */
export const Consumption = z.strictObject({
  /** Wall time of each processor that the run may use, all together. */
  allottedCpuSeconds: z.number().min(0),
  /** Time in which they worked. */
  cpuSeconds: z.number().min(0),
  /** Energy of the GPUs by their own counters; absent: there is no counter. */
  gpuJoules: z.number().min(0).optional(),
});

export type Consumption = z.output<typeof Consumption>;

const JOULES_PER_KWH = 3.6e6;

export function addConsumption(a: Consumption, b: Consumption): Consumption {
  const { gpuJoules = b.gpuJoules === undefined ? undefined : 0 } = a;
  return {
    allottedCpuSeconds: a.allottedCpuSeconds + b.allottedCpuSeconds,
    cpuSeconds: a.cpuSeconds + b.cpuSeconds,
    ...(gpuJoules === undefined ? {} : { gpuJoules: gpuJoules + (b.gpuJoules ?? 0) }),
  };
}

/** Four digits that mean something. */
const rounded = (value: number): number => Number(value.toPrecision(4));

export function energyOf(consumption: Consumption, model: EnergyModel): Energy {
  const { allottedCpuSeconds, cpuSeconds, gpuJoules } = consumption;
  const { idleWattsPerCpu: idle, busyWattsPerCpu: busy, gramsPerKWh, pue } = model;
  // As Cloud Carbon Footprint reckons: watts = idle + utilization * (busy - idle).
  const cpuJoules = idle * allottedCpuSeconds + (busy - idle) * cpuSeconds;
  const kWh = ((cpuJoules + (gpuJoules ?? 0)) / JOULES_PER_KWH) * pue;
  return {
    kWh: rounded(kWh),
    gCO2e: rounded(kWh * gramsPerKWh),
    source: gpuJoules === undefined ? "CpuModel" : "GpuCounters",
    gramsPerKWh,
    pue,
  };
}

/** Energy of several GPUs from readings of their power: the area below each one's curve. */
export class PowerIntegral {
  /** undefined: no GPU has been read twice yet. */
  joules: number | undefined;
  readonly #last = new Map<string, { seconds: number; watts: number }>();

  add(gpu: string, watts: number, seconds: number): void {
    const before = this.#last.get(gpu);
    if (before !== undefined) {
      this.joules = (this.joules ?? 0) + ((watts + before.watts) / 2) * (seconds - before.seconds);
    }
    this.#last.set(gpu, { seconds, watts });
  }
}
