/** Watches the load of the deployments that scale by themselves, and says how many pods each should have. */
import type { Load } from "../../../crds/contract/load.ts";
import { type Clock, sleep } from "../../kernel/clock.ts";
import type { LoadProber } from "../../pods/load-prober.ts";
import { type Decision, decide } from "./decide.ts";
import { Counters, type Sample } from "./sample.ts";
import type { OwnScaling } from "./settings.ts";

/** Between two looks at a pod. */
export const SAMPLE_SECONDS = 2;
/** So many pods are asked at a time. */
const MOST_PROBES = 64;

/** A deployment as its last reconcile left it. */
export interface ScalingTarget {
  /** `namespace/name`. */
  readonly key: string;
  readonly uid: string;
  readonly settings: OwnScaling;
  /** Pods that there should be now. */
  readonly current: number;
  /** Pods that serve: identity and address. */
  readonly ready: readonly { readonly id: string; readonly ip: string }[];
  /** Its port at the activator, where it has one. */
  readonly port?: number | undefined;
}

/** What a reconcile needs to know. */
export interface ScalingView {
  /** How many pods there should be; undefined before anything is known. */
  readonly wish?: number | undefined;
  /** When a request woke it from zero and no pod was ready yet; milliseconds, wall clock. */
  readonly wokenAt?: number | undefined;
}

interface Tracked {
  target: ScalingTarget;
  readonly counters: Counters;
  samples: Sample[];
  readonly since: number;
  activeAt: number;
  decision?: Decision | undefined;
  wokenAt?: number | undefined;
}

export interface AutoscalerOptions {
  readonly prober: LoadProber;
  readonly clock: Clock;
  /** Requests that the activators hold for a port. */
  readonly held: (port: number) => number;
  /** Its wish has changed: reconcile it. */
  readonly changed: (key: string) => void;
}

export class Autoscaler {
  readonly #options: AutoscalerOptions;
  readonly #tracked = new Map<string, Tracked>();

  constructor(options: AutoscalerOptions) {
    this.#options = options;
  }

  /** Called at each reconcile. */
  watch(target: ScalingTarget): void {
    const tracked = this.#tracked.get(target.key);
    if (tracked === undefined || tracked.target.uid !== target.uid) {
      const now = this.#options.clock.monotonic();
      this.#tracked.set(target.key, { target, counters: new Counters(), samples: [], since: now, activeAt: now });
      return;
    }
    // What was decided for other settings says nothing for these.
    if (!sameSettings(tracked.target.settings, target.settings)) tracked.decision = undefined;
    tracked.target = target;
    if (target.ready.length > 0) tracked.wokenAt = undefined;
  }

  forget(key: string): void {
    this.#tracked.delete(key);
  }

  view(key: string): ScalingView {
    const tracked = this.#tracked.get(key);
    return tracked === undefined ? {} : { wish: tracked.decision?.replicas, wokenAt: tracked.wokenAt };
  }

  /** The activator holds more or fewer requests for this port: whoever is at zero wakes at once. */
  demanded(port: number): void {
    for (const tracked of this.#tracked.values()) {
      if (tracked.target.port === port && tracked.target.ready.length === 0) this.#take(tracked, new Map());
    }
  }

  /** Samples until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      await this.#round(signal);
      const left = SAMPLE_SECONDS * 1000 - (clock.monotonic() - startedAt);
      await sleep(clock, Math.max(left, 100), signal);
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const waiting = [...this.#tracked.values()];
    const work = async () => {
      for (let tracked = waiting.pop(); tracked !== undefined && !signal.aborted; tracked = waiting.pop()) {
        await this.#ask(tracked, signal);
      }
    };
    await Promise.all(Array.from({ length: Math.min(MOST_PROBES, waiting.length) }, work));
  }

  async #ask(tracked: Tracked, signal: AbortSignal): Promise<void> {
    const { ready } = tracked.target;
    const load = async ({ id, ip }: { id: string; ip: string }): Promise<[string, Load | undefined]> => [
      id,
      await this.#options.prober.load(ip, signal),
    ];
    const answers = await Promise.all(ready.map(load));
    // Answers that were cut off say nothing of the pods.
    if (signal.aborted) return;
    // It may have been given up, or replaced by another of its name, meanwhile.
    if (this.#tracked.get(tracked.target.key) === tracked) this.#take(tracked, new Map(answers));
  }

  #take(tracked: Tracked, loads: ReadonlyMap<string, Load | undefined>): void {
    const { clock, held, changed } = this.#options;
    const { settings, port, current, key, ready } = tracked.target;
    const now = clock.monotonic();
    const sample = tracked.counters.sample(now, loads, port === undefined ? 0 : held(port));
    if (sample.active) tracked.activeAt = now;
    tracked.samples = [...tracked.samples.filter(({ at }) => at > now - settings.stableMilliseconds), sample];
    const { samples, since, activeAt, decision: before } = tracked;
    const history = { samples, since, activeAt, panicAt: before?.panicAt };
    tracked.decision = decide(history, settings, current, ready.length, now);
    const { replicas } = tracked.decision;
    if (current === 0 && replicas > 0 && before?.replicas !== replicas) tracked.wokenAt ??= clock.now();
    if (replicas !== current && replicas !== before?.replicas) changed(key);
  }
}

function sameSettings(a: OwnScaling, b: OwnScaling): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
