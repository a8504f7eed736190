import { expect, it } from "@jest/globals";
import type { OptimizationProgress } from "../../crds/contract/progress.ts";
import type { OptimizationJobStatus } from "../../crds/optimization-job.ts";
import { optimizationJob } from "../testing/objects.ts";
import { optimizationNotes } from "./optimization-job.ts";

const RUN = "small-abc";
const START = { run: RUN, startTime: "2026-01-01T12:00:00Z" };

const at = (candidates: number, step: number, second: number) => ({
  candidates,
  step,
  time: `2026-01-01T12:00:${String(second).padStart(2, "0")}Z`,
});

function notes(before: OptimizationJobStatus | undefined, said: Partial<OptimizationProgress>): string[] {
  const base = { kind: "OptimizationProgress", run: RUN, state: "Optimizing", progressPercent: 40 } as const;
  const outcome = { status: START, report: { ...base, ...said }, fresh: false, notes: [] };
  return optimizationNotes(optimizationJob({}, before), outcome).map(({ reason, message }) => `${reason}: ${message}`);
}

it("an event tells the first saved state and the one with which a pod was stopped, not each of them", () => {
  const failure = { reason: "Terminated", message: "", exitCode: 143 } as const;
  expect(notes(START, { checkpoint: at(0, 45, 1) })).toEqual([
    `CheckpointSaved: run ${RUN} is saved at 0 finished candidates, step 45 of the next one's training`,
  ]);
  const before = { ...START, checkpoint: at(0, 45, 1) };
  expect(notes(before, { checkpoint: at(1, 0, 2) })).toEqual([]);
  expect(notes(before, { checkpoint: at(1, 0, 2), failure })).toEqual([
    `CheckpointSaved: run ${RUN} is saved at 1 finished candidates`,
  ]);
  expect(notes(before, { checkpoint: at(0, 45, 1), failure })).toEqual([]);
});

it("an event tells once for each pod that it goes on", () => {
  const resumed = at(2, 0, 9);
  expect(notes(START, { resumed })).toEqual([`Resumed: run ${RUN} goes on from 2 finished candidates`]);
  expect(notes({ ...START, resumed }, { resumed })).toEqual([]);
});

it("an event tells what was missed when the best candidate is kept all the same", () => {
  const missedGoals = ["minSpeedup 2: a prediction is 1.5 times as fast"];
  const outcome = {
    status: { ...START, state: "Succeeded" as const },
    report: {
      kind: "OptimizationProgress",
      run: RUN,
      state: "Succeeded",
      progressPercent: 100,
      missedGoals,
    } as const,
    fresh: false,
    notes: [],
  };
  expect(optimizationNotes(optimizationJob({}, START), outcome)).toEqual([
    {
      type: "Warning",
      reason: "GuardMissed",
      message: "kept although goals were missed: minSpeedup 2: a prediction is 1.5 times as fast",
    },
  ]);
});
