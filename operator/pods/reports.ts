/** The latest report of each pod, asked for no more often than it may have changed. */
import type { Progress } from "../../crds/contract/progress.ts";
import type { Clock } from "../kernel/clock.ts";
import { presentable } from "../presentable.ts";
import type { PodRecord } from "./pod-record.ts";
import type { Prober } from "./prober.ts";

export const PROBE_SECONDS = 2;

interface Held {
  readonly report: Progress | undefined;
  readonly at: number;
}

export class Reports {
  readonly #prober: Prober;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();

  constructor(prober: Prober, clock: Clock) {
    this.#prober = prober;
    this.#clock = clock;
  }

  /** The report of a pod whose container runs. */
  async of(pod: PodRecord): Promise<Progress | undefined> {
    if (!pod.running || pod.ip === undefined) return undefined;
    // A container that was started again is another source.
    const key = `${pod.metadata.uid}/${pod.restarts}`;
    const held = this.#held.get(key);
    if (held !== undefined && (isSettled(held.report) || this.#isFresh(held))) return held.report;
    const report = presentable(await this.#prober.probe(pod.ip));
    this.#held.set(key, { report: report ?? held?.report, at: this.#clock.monotonic() });
    return report ?? held?.report;
  }

  /** Nothing new is to be expected from this pod. */
  settled(pod: PodRecord): boolean {
    return isSettled(this.#held.get(`${pod.metadata.uid}/${pod.restarts}`)?.report);
  }

  /** Forgets pods that are gone. */
  forget(uid: string): void {
    for (const key of this.#held.keys()) if (key.startsWith(`${uid}/`)) this.#held.delete(key);
  }

  #isFresh(held: Held): boolean {
    return this.#clock.monotonic() - held.at < PROBE_SECONDS * 1000 * 0.9;
  }
}

/** A pod that serves has said all that it will say. */
function isSettled(report: Progress | undefined): boolean {
  return report?.kind === "ServingProgress" && report.state === "Serving";
}
