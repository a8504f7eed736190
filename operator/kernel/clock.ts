/** What the kernel needs of time. Injected everywhere, so that tests never wait. Times are milliseconds. */
export interface Clock {
  /** Wall clock, milliseconds since the epoch: for what other machines read. */
  now(): number;
  /** Never goes back: for durations and deadlines. */
  monotonic(): number;
  setTimeout(callback: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
}

/** An opaque handle of a pending callback. */
export interface Timer {
  readonly dueAt: number;
}

interface SystemTimer extends Timer {
  readonly handle: NodeJS.Timeout;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout(callback, milliseconds): SystemTimer {
    return { dueAt: performance.now() + milliseconds, handle: setTimeout(callback, milliseconds) };
  },
  clearTimeout(timer) {
    if ("handle" in timer) clearTimeout((timer as SystemTimer).handle);
  },
};

/** Resolves after the given time, or at once when the signal aborts. Never rejects: the caller looks at the signal. */
export function sleep(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = clock.setTimeout(finish, milliseconds);
    signal?.addEventListener("abort", finish, { once: true });
  });
}

/** RFC 3339 in seconds, the form of metav1.Time. */
export function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

/** RFC 3339 with exactly six fractional digits: the API server refuses any other form in Lease and Event. */
export function microTime(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, -1)}000Z`;
}
