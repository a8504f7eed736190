/** Keeps a run's progress and passes it on, but not more often than anyone looks. */
const PERIOD_MILLISECONDS = 200;

export interface Reporter<Progress> {
  current(): Progress;
  /** Changes the progress; `now` passes it on at once. */
  update(change: Partial<Progress>, now?: boolean): void;
}

export function reporter<Progress extends object>(
  initial: Progress,
  report: (progress: Progress) => void,
  clock: () => number,
): Reporter<Progress> {
  let progress = initial;
  let reported = -Infinity;
  return {
    current: () => progress,
    update(change, now = true) {
      progress = { ...progress, ...change };
      if (!now && clock() - reported < PERIOD_MILLISECONDS) return;
      reported = clock();
      report(progress);
    },
  };
}
