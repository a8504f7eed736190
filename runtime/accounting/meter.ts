/** Counts what this process uses: processor time, and power of the GPUs as the driver reports it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Consumption, PowerIntegral } from "./energy.ts";

export interface Meter {
  read(): Consumption;
  stop(): void;
}

interface MeterOptions {
  /** Processors that the run may use. */
  cpus: number;
  /** Does it compute on a GPU? */
  gpu: boolean;
  /** Milliseconds. */
  clock?: () => number;
  /** Prints the watts of each visible GPU on a line, again and again. */
  powerCommand?: readonly [string, ...string[]];
}

const POWER_COMMAND = [
  "nvidia-smi",
  "--query-gpu=index,power.draw",
  "--format=csv,noheader,nounits",
  "--loop-ms=1000",
] as const;

/** A line such as `0, 71.33`; a GPU that tells no power says `[N/A]`. */
function readingOf(line: string): { gpu: string; watts: number } | undefined {
  const [gpu = "", watts = ""] = line.split(",").map((part) => part.trim());
  return watts !== "" && Number.isFinite(Number(watts)) ? { gpu, watts: Number(watts) } : undefined;
}

class GpuMeter {
  readonly power = new PowerIntegral();
  readonly #child: ChildProcess;

  constructor([command, ...args]: readonly [string, ...string[]], clock: () => number) {
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
    // A node without the driver's tools has no counter, which the result says.
    this.#child.on("error", () => undefined);
    if (this.#child.stdout === null) return;
    createInterface(this.#child.stdout).on("line", (line) => {
      const reading = readingOf(line);
      if (reading !== undefined) this.power.add(reading.gpu, reading.watts, clock() / 1000);
    });
  }

  stop(): void {
    this.#child.kill();
  }
}

/** Starts counting now. */
export function startMeter(options: MeterOptions): Meter {
  const { cpus, gpu, clock = () => performance.now(), powerCommand = POWER_COMMAND } = options;
  const start = clock();
  const cpu = process.cpuUsage();
  const gpus = gpu ? new GpuMeter(powerCommand, clock) : undefined;
  return {
    read: () => {
      const { user, system } = process.cpuUsage(cpu);
      const consumption = {
        allottedCpuSeconds: (cpus * (clock() - start)) / 1000,
        cpuSeconds: (user + system) / 1e6,
      };
      const gpuJoules = gpus?.power.joules;
      return gpuJoules === undefined ? consumption : { ...consumption, gpuJoules };
    },
    stop: () => gpus?.stop(),
  };
}
