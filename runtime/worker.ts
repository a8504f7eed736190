/** The process that computes a run: gets it from the parent, and sends back where it stands. */
import type { Failure as FailureReport, Progress } from "../crds/contract/progress.ts";
import type { OptimizationRun, TrainingRun } from "../crds/contract/run.ts";
import { onParentMessage, sendToParent } from "./engine/child.ts";
import { asFailure } from "./failure.ts";
import { optimize } from "./optimization/run.ts";
import { train } from "./training/run.ts";
import type { Surroundings } from "./work.ts";

export interface Assignment {
  run: TrainingRun | OptimizationRun;
  surroundings: Surroundings;
}

export type WorkerMessage =
  | { type: "progress"; progress: Progress }
  | { type: "done"; progress: Progress }
  | { type: "failed"; failure: FailureReport };

const MESSAGE_LIMIT = 1024;

async function work({ run, surroundings }: Assignment): Promise<WorkerMessage> {
  const onProgress = (progress: Progress) => void sendToParent({ type: "progress", progress } satisfies WorkerMessage);
  try {
    const progress =
      run.kind === "TrainingRun"
        ? await train(run, surroundings, onProgress)
        : await optimize(run, surroundings, onProgress);
    return { type: "done", progress };
  } catch (error) {
    const failure = asFailure(error);
    if (failure.reason === "InternalError") console.error(error);
    const { reason, exitCode } = failure;
    return { type: "failed", failure: { reason, message: failure.message.slice(0, MESSAGE_LIMIT), exitCode } };
  }
}

onParentMessage((message) => {
  // The parent is this program.
  void work(message as Assignment)
    .then(sendToParent)
    .then(() => process.exit());
});
