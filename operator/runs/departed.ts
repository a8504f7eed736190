/** Pods of runs that have gone: what they said last is kept until a status has it. */
import type { Change } from "../kernel/informer.ts";
import { controllerOf } from "../kernel/meta.ts";
import type { PodRecord } from "../pods/pod-record.ts";

/** A pod's last words have at most 4096 bytes, so this is a few megabytes in the worst case. */
const MOST = 1000;

/**
 * A pod that is taken away ends and vanishes within milliseconds, before its run is looked at. Hears of all changes of
 * pods and Jobs, and forgets the oldest pods where there are too many.
 */
export class DepartedPods {
  readonly #most: number;
  /** By uid of the Job. */
  readonly #pods = new Map<string, readonly PodRecord[]>();
  #count = 0;

  constructor(most = MOST) {
    this.#most = most;
  }

  podChanged({ before, after }: Change<PodRecord>): void {
    if (after !== undefined || before?.ended === undefined) return;
    const job = jobOf(before);
    if (job === undefined) return;
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

  /** Nobody asks for the pods of a Job that is gone. */
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

  #drop(job: string): void {
    this.#count -= this.of(job).length;
    this.#pods.delete(job);
  }
}

function jobOf(pod: PodRecord): string | undefined {
  const controller = controllerOf(pod);
  return controller?.kind === "Job" ? controller.uid : undefined;
}
