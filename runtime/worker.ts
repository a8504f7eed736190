/** The process that computes a run: gets it from the parent, and sends back where it stands. */
import { EXIT } from "../crds/contract/exit-code.ts";
import type { Failure as FailureReport, Progress } from "../crds/contract/progress.ts";
import type { OptimizationRun, TrainingRun } from "../crds/contract/run.ts";
import { onParentMessage, sendToParent } from "./engine/child.ts";
import { asFailure } from "./failure.ts";
import { Interruption } from "./interruption.ts";
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

async function work({ run, surroundings }: Assignment, interruption: Interruption): Promise<WorkerMessage> {
  const onProgress = (progress: Progress) => void sendToParent({ type: "progress", progress } satisfies WorkerMessage);
  try {
    const progress =
      run.kind === "TrainingRun"
        ? await train(run, surroundings, onProgress, interruption)
        : await optimize(run, surroundings, onProgress, interruption);
    return { type: "done", progress };
  } catch (error) {
    const failure = asFailure(error);
    if (failure.reason === "InternalError") console.error(error);
    const { reason, exitCode } = failure;
    return { type: "failed", failure: { reason, message: failure.message.slice(0, MESSAGE_LIMIT), exitCode } };
  }
}

const interruption = new Interruption(() => process.exit(EXIT.terminated));
process.on("SIGTERM", () => interruption.request());
// A terminal sends it to this process too; the parent passes on what is meant.
process.on("SIGINT", () => undefined);

onParentMessage((message) => {
  // The parent is this program.
  void work(message as Assignment, interruption)
    .then(sendToParent)
    .then(() => process.exit());
});
