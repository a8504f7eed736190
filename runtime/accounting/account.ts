/** What a run has used: its former processes, as its saved state tells, and this one. */
import { type Consumption, addConsumption } from "./energy.ts";
import type { Meter } from "./meter.ts";

export class Account {
  readonly #meter: Pick<Meter, "read">;
  #former: Consumption | undefined;

  constructor(meter: Pick<Meter, "read">) {
    this.#meter = meter;
  }

  /** This process goes on from a saved state. Where it does so again, it has counted itself all the time. */
  goOn(former: Consumption | undefined): void {
    this.#former ??= former ?? { allottedCpuSeconds: 0, cpuSeconds: 0 };
  }

  read(): Consumption {
    const own = this.#meter.read();
    return this.#former === undefined ? own : addConsumption(this.#former, own);
  }
}
