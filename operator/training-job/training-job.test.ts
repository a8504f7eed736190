import { describe, expect, it } from "@jest/globals";
import type { TrainingProgress } from "../../crds/contract/progress.ts";
import { type TrainingRun, trainingRun } from "../../crds/contract/run.ts";
import type { TrainingJobStatus } from "../../crds/training-job.ts";
import type { RunOutcome } from "../runs/status.ts";
import type { SourceJob } from "../model-reference.ts";
import { digest, trainingJob } from "../testing/objects.ts";
import { trainingJobKind, trainingNotes, trainingStatus } from "./training-job.ts";

const run = trainingRun(trainingJob());
const artefact = { uri: "pvc://models/source/run", digest: digest("a"), format: "TfjsLayers", bytes: 1 };
const START = { run: run.job.run, startTime: "2026-01-01T12:00:00Z" };

const at = (step: number, time = `2026-01-01T12:00:${String(step).padStart(2, "0")}Z`) => ({ epoch: 1, step, time });

function outcome(said: Partial<TrainingProgress> | undefined, fresh = false): RunOutcome {
  const base = { kind: "TrainingProgress", run: run.job.run, state: "Training", progressPercent: 40 } as const;
  const report: TrainingProgress | undefined = said && { ...base, epoch: 1, epochs: 3, step: 9, ...said };
  return { status: START, report, fresh, notes: [] };
}

const notes = (before: TrainingJobStatus | undefined, said: Partial<TrainingProgress>) =>
  trainingNotes(trainingJob({}, before), outcome(said)).map(({ reason, message }) => `${reason}: ${message}`);

describe("a training that goes on from another job's model", () => {
  const base = { from: { kind: "TrainingJob", name: "source" } } as const;
  const job = trainingJob({ model: { base: { ...base, upTo: "hidden", freeze: ["hidden"] } } });
  // Its run is all that is asked for here.
  const asked = (source: SourceJob | undefined) =>
    trainingJobKind({} as never, () => () => source).run(job as never, 0);

  it("runs with the artefact of that job, and again when there is a newer one", () => {
    const of = (letter: string) => asked({ status: { artefact: { ...artefact, digest: digest(letter) } } });
    expect(of("a")).toMatchObject({
      run: {
        training: {
          model: { base: { uri: artefact.uri, digest: digest("a"), upTo: "hidden", freeze: ["hidden"] } },
        },
      },
    });
    expect(of("a")).not.toHaveProperty("run.training.model.base.from");
    const runs = ["a", "b"].map((letter) => (of(letter) as { run: TrainingRun }).run.job.run);
    expect(new Set(runs).size).toBe(2);
  });

  it("waits for it", () => {
    expect(asked(undefined)).toMatchObject({
      status: {
        state: "Pending",
        conditions: expect.arrayContaining([
          expect.objectContaining({
            type: "Reconciling",
            reason: "WaitingForModel",
            message: "TrainingJob source does not exist in this namespace; create it, or correct spec.model.base.from",
          }),
        ]),
      },
    });
  });
});

describe("saved states of a training", () => {
  it("stay in status while its pod says nothing new, and go with the run", () => {
    const before = { ...START, epoch: 1, step: 9, checkpoint: at(8), resumed: at(4) };
    const job = trainingJob({}, before);
    expect(trainingStatus(job, run, outcome(undefined))).toMatchObject({ checkpoint: at(8), resumed: at(4), epoch: 1 });
    expect(trainingStatus(job, run, outcome({ checkpoint: at(12) }))).toMatchObject({
      checkpoint: at(12),
      resumed: at(4),
    });
    const other = trainingStatus(job, run, outcome(undefined, true));
    expect(other).toMatchObject({ epoch: 0, step: 0 });
    expect(other.checkpoint).toBeUndefined();
    expect(other.resumed).toBeUndefined();
  });

  it("whether steps are compiled stays in status, and why not goes when they are", () => {
    const why = "layer noise (GaussianNoise): the compiler lacks this class of layer in training";
    const before = { ...START, epoch: 1, step: 9, compiled: false, notCompiled: why };
    const job = trainingJob({}, before);
    expect(trainingStatus(job, run, outcome(undefined))).toMatchObject({ compiled: false, notCompiled: why });
    const after = trainingStatus(job, run, outcome({ compiled: true }));
    expect(after.compiled).toBe(true);
    expect(after.notCompiled).toBeUndefined();
  });

  it("are told in an event the first time and when a pod was stopped, not each time", () => {
    const failure = { reason: "Terminated", message: "", exitCode: 143 } as const;
    expect(notes(START, { checkpoint: at(4) })).toEqual([
      `CheckpointSaved: run ${run.job.run} is saved at epoch 1, step 4`,
    ]);
    const before = { ...START, checkpoint: at(4) };
    expect(notes(before, { checkpoint: at(8) })).toEqual([]);
    expect(notes(before, { checkpoint: at(9), failure })).toEqual([
      `CheckpointSaved: run ${run.job.run} is saved at epoch 1, step 9`,
    ]);
    expect(notes({ ...START, checkpoint: at(9) }, { checkpoint: at(9), failure })).toEqual([]);
  });

  it("are told when a pod goes on from one, once for each pod", () => {
    const before = { ...START, checkpoint: at(4) };
    const resumed = at(4, "2026-01-01T12:10:00Z");
    expect(notes(before, { checkpoint: at(4), resumed })).toEqual([
      `Resumed: run ${run.job.run} goes on from epoch 1, step 4`,
    ]);
    expect(notes({ ...before, resumed }, { checkpoint: at(4), resumed })).toEqual([]);
    const again = at(4, "2026-01-01T12:20:00Z");
    expect(notes({ ...before, resumed }, { checkpoint: at(4), resumed: again }).length).toBe(1);
  });
});

const accuracy = (said: Partial<TrainingProgress>) =>
  trainingStatus(trainingJob({}, START), run, outcome(said)).accuracy;

describe("what is seen of a training", () => {
  const history = [{ epoch: 1, learningRate: 0.01, values: { loss: 1, val_accuracy: 0.5 } }];

  it("has the accuracy that counts most: of the test, else of validation, else of the last epoch", () => {
    expect(accuracy({ metrics: { accuracy: 0.9 } })).toBe(0.9);
    expect(accuracy({ metrics: { accuracy: 0.9, val_accuracy: 0.8 } })).toBe(0.8);
    expect(accuracy({ metrics: { val_accuracy: 0.8 }, evaluation: { accuracy: 0.7 } })).toBe(0.7);
    expect(accuracy({ metrics: { loss: 1 } })).toBeUndefined();
  });

  it("stays in status while its pod says nothing new, and goes with the run", () => {
    const seen = {
      history,
      examplesPerSecond: 900,
      phaseSeconds: { Training: 2 },
      stopped: { epoch: 4, bestEpoch: 2 },
    };
    const job = trainingJob({}, { ...START, ...seen, accuracy: 0.5 });
    expect(trainingStatus(job, run, outcome(undefined))).toMatchObject({ ...seen, accuracy: 0.5 });
    expect(trainingStatus(job, run, outcome(undefined, true))).not.toHaveProperty("history");
  });

  it("tells once that a training was ended early", () => {
    const stopped = { epoch: 4, bestEpoch: 2 };
    expect(notes(START, { stopped })).toEqual([
      `EarlyStopped: run ${run.job.run} ends after epoch 4: epoch 2 was best`,
    ]);
    expect(notes({ ...START, stopped }, { stopped })).toEqual([]);
  });
});
