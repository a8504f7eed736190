/** Energy of a run and the greenhouse gas that it stands for. Pure; what is measured comes from the meter. */
import type { Energy } from "../../crds/accounts.ts";

/** Where the machine stands and what it is: what no program can measure. */
export interface EnergyModel {
  /** Grams of CO2 equivalent for a kWh of the grid. */
  gramsPerKWh: number;
  /** Energy of the whole data centre divided by that of its computers, 1 or more. */
  pue: number;
  /** Watts of a processor that does nothing, and of one that is busy. */
  wattsPerCpu: { idle: number; busy: number };
}

/**
 * World average of the grid's intensity; the processor's watts are the average of a large cloud's vCPU as the Cloud
 * Carbon Footprint project has it: watts = idle + utilization * (busy - idle).
 */
export const DEFAULT_ENERGY_MODEL: EnergyModel = { gramsPerKWh: 475, pue: 1, wattsPerCpu: { idle: 0.74, busy: 3.5 } };

/** What a meter has counted. */
export interface Consumption {
  /** Wall time. */
  seconds: number;
  /** Processors that the run may use. */
  cpus: number;
  /** Time of all processors together. */
  cpuSeconds: number;
  /** Energy of the GPUs by their own counters; undefined: there is no counter. */
  gpuJoules?: number | undefined;
}

const JOULES_PER_KWH = 3.6e6;

/** Adds what former processes of the same run have used. */
export function addConsumption(a: Consumption, b: Consumption): Consumption {
  const gpu =
    a.gpuJoules === undefined && b.gpuJoules === undefined ? undefined : (a.gpuJoules ?? 0) + (b.gpuJoules ?? 0);
  return {
    seconds: a.seconds + b.seconds,
    cpus: Math.max(a.cpus, b.cpus),
    cpuSeconds: a.cpuSeconds + b.cpuSeconds,
    ...(gpu === undefined ? {} : { gpuJoules: gpu }),
  };
}

/** Four digits that mean something. */
const rounded = (value: number): number => Number(value.toPrecision(4));

export function energyOf(consumption: Consumption, model: EnergyModel): Energy {
  const { seconds, cpus, cpuSeconds, gpuJoules } = consumption;
  const { idle, busy } = model.wattsPerCpu;
  const cpuJoules = idle * cpus * seconds + (busy - idle) * cpuSeconds;
  const kWh = ((cpuJoules + (gpuJoules ?? 0)) / JOULES_PER_KWH) * model.pue;
  return {
    kWh: rounded(kWh),
    gCO2e: rounded(kWh * model.gramsPerKWh),
    source: gpuJoules === undefined ? "CpuModel" : "GpuCounters",
    gramsPerKWh: model.gramsPerKWh,
    pue: model.pue,
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
