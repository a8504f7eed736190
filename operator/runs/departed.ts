/** Pods of runs that have gone: what they said last is kept until a status has it. */
import type { Change } from "../kernel/informer.ts";
import { controllerOf, type Identified } from "../kernel/meta.ts";
import type { Store } from "../kernel/store.ts";
import type { PodRecord } from "../pods/pod-record.ts";

/** A pod's last words have at most 4096 bytes, so this is a few megabytes in the worst case. */
const MOST = 1000;

/** The Jobs that there are. */
type Jobs = Pick<Store<Identified>, "get">;

/**
 * A pod that is taken away ends and vanishes within milliseconds, before its run is looked at. Hears of all changes of
 * pods and Jobs, and forgets the oldest pods where there are too many.
 */
export class DepartedPods {
  readonly #jobs: Jobs;
  readonly #most: number;
  /** By uid of the Job. */
  readonly #pods = new Map<string, readonly PodRecord[]>();
  #count = 0;

  constructor(jobs: Jobs, most = MOST) {
    this.#jobs = jobs;
    this.#most = most;
  }

  podChanged({ before, after }: Change<PodRecord>): void {
    if (after !== undefined || before?.ended === undefined) return;
    const job = jobOf(before);
    if (job === undefined || !this.#isThere(before, job)) return;
    const known = this.of(job);
    // The Job with the newest departure comes last.
    this.#pods.delete(job);
    this.#pods.set(job, [...known, before]);
    this.#count++;
    for (const oldest of this.#pods.keys()) {
      if (this.#count <= this.#most) return;
      this.#drop(oldest);
    }
  }

  /** What was kept for a Job that is gone now. */
  jobChanged({ before, after }: Change<{ readonly metadata: { readonly uid: string } }>): void {
    if (after === undefined && before !== undefined) this.#drop(before.metadata.uid);
  }

  of(job: string): readonly PodRecord[] {
    return this.#pods.get(job) ?? [];
  }

  /** These have been heard. True where some of them were held: what is decided without them may be another thing. */
  forget(pods: readonly PodRecord[]): boolean {
    const before = this.#count;
    for (const job of new Set(pods.map(jobOf))) {
      const held = job === undefined ? [] : this.of(job);
      const left = held.filter((pod) => !pods.includes(pod));
      if (job === undefined || left.length === held.length) continue;
      this.#count -= held.length - left.length;
      if (left.length === 0) this.#pods.delete(job);
      else this.#pods.set(job, left);
    }
    return this.#count < before;
  }

  /** Pods follow a Job that is removed: nobody asks for these. */
  #isThere(pod: PodRecord, job: string): boolean {
    const name = controllerOf(pod)?.name ?? "";
    return this.#jobs.get(pod.metadata.namespace ?? "", name)?.metadata.uid === job;
  }

  #drop(job: string): void {
    this.#count -= this.of(job).length;
    this.#pods.delete(job);
  }
}

function jobOf(pod: PodRecord): string | undefined {
  const controller = controllerOf(pod);
  return controller?.kind === "Job" ? controller.uid : undefined;
}
