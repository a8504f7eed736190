/** From the counters of pods to what happened between two looks at them. */
import type { Load } from "../../../crds/contract/load.ts";

/** What the ready pods of a deployment did in the time before `at`. */
export interface Sample {
  /** Milliseconds, monotonic. */
  readonly at: number;
  /** Pods that should have answered, and those that did. */
  readonly pods: number;
  readonly answered: number;
  /** Requests in flight, averaged over the time, of all pods together. */
  readonly concurrency: number;
  /** Requests answered per second. */
  readonly perSecond: number;
  /** Requests answered, and the seconds that requests waited for the engine. */
  readonly finished: number;
  readonly waitedSeconds: number;
  /** Engines that computed, on average. */
  readonly busy: number;
  /** A request was there, or may have been where a pod did not answer. */
  readonly active: boolean;
}

interface Seen {
  readonly at: number;
  readonly load: Load;
}

/** The last look at each pod of one deployment. */
export class Counters {
  #seen = new Map<string, Seen>();

  /** `loads`: by the pods' identity; undefined for those that gave no answer. `held`: requests that wait at the activator. */
  sample(at: number, loads: ReadonlyMap<string, Load | undefined>, held: number): Sample {
    const before = this.#seen;
    this.#seen = new Map();
    let sum = { answered: 0, concurrency: held, perSecond: 0, finished: 0, waitedSeconds: 0, busy: 0 };
    let active = held > 0;
    for (const [pod, load] of loads) {
      const last = before.get(pod);
      if (load === undefined) {
        // What it does is not known; the next answer is compared with the last one.
        if (last !== undefined) this.#seen.set(pod, last);
        active = true;
        continue;
      }
      this.#seen.set(pod, { at, load });
      const delta = last && difference(last, { at, load });
      if (delta === undefined) {
        active ||= load.inFlight > 0 || (last === undefined && load.finished > 0);
        continue;
      }
      active ||= load.inFlight > 0 || delta.finished > 0;
      sum = {
        answered: sum.answered + 1,
        concurrency: sum.concurrency + delta.concurrency,
        perSecond: sum.perSecond + delta.perSecond,
        finished: sum.finished + delta.finished,
        waitedSeconds: sum.waitedSeconds + delta.waitedSeconds,
        busy: sum.busy + delta.busy,
      };
    }
    return { at, pods: loads.size, active, ...sum };
  }
}

/** Undefined where the counters begin anew. A pod cannot claim more than it can have done. */
function difference(before: Seen, after: Seen) {
  const seconds = (after.at - before.at) / 1000;
  const grown = (name: keyof Load) => after.load[name] - before.load[name];
  const finished = grown("finished");
  const busySeconds = grown("busySeconds");
  const inFlightSeconds = grown("inFlightSeconds");
  const waitedSeconds = grown("waitedSeconds");
  if (seconds <= 0 || [finished, busySeconds, inFlightSeconds, waitedSeconds].some((value) => value < 0)) {
    return undefined;
  }
  return {
    concurrency: inFlightSeconds / seconds,
    perSecond: finished / seconds,
    finished,
    waitedSeconds,
    busy: Math.min(1, busySeconds / seconds),
  };
}
