import type { TrainingProgress } from "../../crds/contract/progress.ts";
import { reporter } from "../reporter.ts";
import { timed } from "./phases.ts";

it("time is counted for the state in which it was spent, also between changes that are passed on", () => {
  let now = 0;
  const heard: TrainingProgress[] = [];
  const initial: TrainingProgress = {
    kind: "TrainingProgress",
    run: "a-1",
    state: "Starting",
    progressPercent: 0,
    epoch: 0,
    epochs: 2,
    step: 0,
  };
  const report = timed(
    reporter(
      initial,
      (progress) => heard.push(progress),
      () => now,
    ),
    () => now,
  );
  now = 2000;
  report.update({ state: "Training" });
  now = 2050;
  report.update({ step: 1 }, false);
  now = 3500;
  report.update({ state: "Evaluating" });
  now = 3600;
  report.update({ state: "Succeeded" });
  expect(heard.at(-1)?.phaseSeconds).toEqual({ Starting: 2, Training: 1.5, Evaluating: 0.1 });
});
