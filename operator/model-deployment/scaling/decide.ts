/** How many pods there should be, from samples: a stable and a panic window, as in Knative's autoscaler. */
import type { OwnScaling } from "./settings.ts";
import type { Sample } from "./sample.ts";

/** Within a tenth of the target nothing changes (the HorizontalPodAutoscaler's tolerance). */
const TOLERANCE = 0.1;
/** Twice the load that the pods are meant for is a panic. */
const PANIC_THRESHOLD = 2;
/** Engines are not made busier than this by taking pods away, where the metric is the time in the queue. */
const BUSIEST = 0.8;

export interface History {
  /** Oldest first. */
  readonly samples: readonly Sample[];
  /** Since when samples are taken without a gap; milliseconds. */
  readonly since: number;
  /** When a request was last there; milliseconds. */
  readonly activeAt: number;
  /** When the load was last a panic; milliseconds. */
  readonly panicAt?: number | undefined;
}

export interface Decision {
  readonly replicas: number;
  readonly panicAt?: number | undefined;
}

/** `current`: pods that there should be now; `ready`: those that serve. */
export function decide(history: History, settings: OwnScaling, current: number, ready: number, now: number): Decision {
  const fewest = Math.min(Math.max(1, settings.min), settings.max);
  const within = (replicas: number) => Math.min(Math.max(replicas, fewest), settings.max);
  if (mayEnd(history, settings, now)) return { replicas: 0 };
  const panicAt = stillPanics(history, settings, now) ? history.panicAt : undefined;
  const stable = wanted(lately(history, settings.stableMilliseconds, now), settings, current);
  const panic = wanted(lately(history, settings.panicMilliseconds, now), settings, current);
  if (stable === undefined || panic === undefined)
    return { replicas: current === 0 && settings.min === 0 ? 0 : within(current), panicAt };

  const panics = panic >= PANIC_THRESHOLD * Math.max(1, Math.min(ready, current)) && panic > current;
  if (panics || panicAt !== undefined) {
    const replicas = within(Math.max(current, limited(panic, settings, ready)));
    return { replicas, panicAt: panics ? now : panicAt };
  }
  const limit = limited(stable, settings, ready);
  // Less is known than a whole window would tell: nothing is taken away yet.
  const knows = now - history.since >= settings.stableMilliseconds;
  return { replicas: within(knows ? limit : Math.max(current, limit)) };
}

/** Nobody has asked for so long that the last pods may go. */
function mayEnd({ since, activeAt }: History, { min, zeroAfterMilliseconds }: OwnScaling, now: number): boolean {
  return min === 0 && now - Math.max(since, activeAt) >= zeroAfterMilliseconds;
}

function stillPanics({ panicAt }: History, { stableMilliseconds }: OwnScaling, now: number): boolean {
  return panicAt !== undefined && now - panicAt < stableMilliseconds;
}

function lately({ samples }: History, milliseconds: number, now: number): readonly Sample[] {
  return samples.filter(({ at }) => at > now - milliseconds);
}

function limited(replicas: number, { upRate, downRate }: OwnScaling, ready: number): number {
  const from = Math.max(1, ready);
  return Math.min(Math.max(replicas, Math.floor(from / downRate)), Math.ceil(from * upRate));
}

/**
 * Pods for the load of these samples; undefined where they do not say. Pods that gave no answer count as idle when
 * more pods are thought of, and as just right when fewer are.
 */
function wanted(samples: readonly Sample[], settings: OwnScaling, current: number): number | undefined {
  const answered = samples.filter((sample) => sample.answered > 0 || (sample.pods === 0 && sample.concurrency > 0));
  if (answered.length === 0) return undefined;
  const total = inTargets(answered, settings);
  // While no pod serves, requests that are held say that there are too few, never that there are too many.
  const silent = mean(answered, ({ pods, answered: count }) => (pods === 0 ? current : pods - count));
  const least = near(total, current) ? current : Math.ceil(total - 1e-9);
  const most = near(total + silent, current) ? current : Math.ceil(total + silent - 1e-9);
  if (least > current) return least;
  return most < current ? most : current;
}

function near(pods: number, current: number): boolean {
  return current > 0 && Math.abs(pods / current - 1) <= TOLERANCE;
}

/** The load, in pods that have just their target. */
function inTargets(samples: readonly Sample[], { metric, target }: OwnScaling): number {
  switch (metric) {
    case "Concurrency":
      return mean(samples, ({ concurrency }) => concurrency) / target;
    case "RequestsPerSecond":
      return mean(samples, ({ perSecond }) => perSecond) / target;
    case "Gpu":
      return (100 * mean(samples, ({ busy }) => busy)) / target;
    case "QueueTime": {
      const finished = mean(samples, (sample) => sample.finished);
      const waited = mean(samples, ({ waitedSeconds }) => waitedSeconds);
      const milliseconds = finished > 0 ? (1000 * waited) / finished : 0;
      const answered = mean(samples, (sample) => sample.answered);
      // A short queue says little about how many pods would do; how busy their engines are says more.
      const busy = mean(samples, (sample) => sample.busy) / BUSIEST;
      return Math.max((answered * milliseconds) / target, Math.min(busy, answered));
    }
  }
}

function mean(samples: readonly Sample[], of: (sample: Sample) => number): number {
  return samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
}
