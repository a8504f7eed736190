/** How long a run has been in each of its states. */
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import type { Reporter } from "../reporter.ts";

/** A reporter that adds to what it passes on the seconds spent in each state. */
export function timed(report: Reporter<TrainingProgress>, clock: () => number): Reporter<TrainingProgress> {
  const seconds: Record<string, number> = {};
  let since = clock();
  return {
    current: () => report.current(),
    update(change, now) {
      const { state } = report.current();
      const time = clock();
      seconds[state] = (seconds[state] ?? 0) + (time - since) / 1000;
      since = time;
      const phaseSeconds = Object.fromEntries(
        Object.entries(seconds).map(([name, spent]) => [name, Math.round(spent * 1000) / 1000]),
      );
      report.update({ ...change, phaseSeconds }, now);
    },
  };
}
