/** Has a run computed in a process of its own, and answers for it meanwhile. */
import { EXIT, type ExitCode } from "../../crds/contract/exit-code.ts";
import type { OptimizationProgress, Progress, TrainingProgress } from "../../crds/contract/progress.ts";
import type { OptimizationRun, TrainingRun } from "../../crds/contract/run.ts";
import { crashOf, moduleBeside, startChild } from "../engine/child.ts";
import { Failure } from "../failure.ts";
import type { Surroundings } from "../work.ts";
import type { Assignment, WorkerMessage } from "../worker.ts";

type JobRun = TrainingRun | OptimizationRun;
type JobProgress = TrainingProgress | OptimizationProgress;

export interface Supervised {
  /** Where it stands now. */
  progress: () => Progress;
  /** Does its process live? */
  live: () => boolean;
  /** Has it save its state, if it can, and end. */
  terminate: () => void;
  /** The end; never rejects. */
  finished: Promise<{ progress: Progress; exitCode: ExitCode }>;
}

const begun = (run: string) => ({ run, state: "Starting", progressPercent: 0 }) as const;

/** Where a run stands of which nothing is known. */
export function unknownRun(command: "train" | "optimize"): JobProgress {
  return command === "train"
    ? { kind: "TrainingProgress", ...begun(""), epoch: 0, epochs: 1, step: 0 }
    : { kind: "OptimizationProgress", ...begun("") };
}

/** Where a run stands that has not begun. */
export function initialProgress(run: JobRun): JobProgress {
  return run.kind === "TrainingRun"
    ? { kind: "TrainingProgress", ...begun(run.job.run), epoch: 0, epochs: run.training.epochs, step: 0 }
    : { kind: "OptimizationProgress", ...begun(run.job.run) };
}

function failed(
  progress: Progress,
  { reason, message, exitCode }: Failure,
): { progress: Progress; exitCode: ExitCode } {
  const failure = { reason, message: message.slice(0, 1024), exitCode };
  return { progress: { ...progress, state: "Failed", failure }, exitCode };
}

/** Kubernetes kills a pod 30 seconds after it asked it to end, if nothing else is said. */
const TERMINATION_MILLISECONDS = 20_000;

/** From where it goes on when it is run again. */
function savedState(progress: Progress): string | undefined {
  if (progress.kind === "ServingProgress" || progress.checkpoint === undefined) return undefined;
  const { checkpoint } = progress;
  if ("epoch" in checkpoint) return `epoch ${checkpoint.epoch}, step ${checkpoint.step}`;
  return `${checkpoint.candidates} finished candidates, step ${checkpoint.step} of the next`;
}

function terminated(progress: Progress): Failure {
  const saved = savedState(progress);
  const next =
    saved === undefined ? "it starts again when it is run again" : `it goes on from ${saved} when it is run again`;
  return new Failure("Terminated", `The run was asked to end; ${next}`);
}

/** Starts the run. `onProgress` hears each change. */
export function supervise(
  run: JobRun,
  surroundings: Surroundings,
  onProgress: (progress: Progress) => void,
): Supervised {
  const child = startChild<Assignment, WorkerMessage>(moduleBeside(import.meta.url, "../worker"));
  let progress: Progress = initialProgress(run);
  let last: WorkerMessage | undefined;
  let killer: NodeJS.Timeout | undefined;
  let live = true;
  child.onMessage((message) => {
    last = message;
    if (message.type === "failed") return;
    progress = message.progress;
    onProgress(progress);
  });
  child.send({ run, surroundings });
  const finished = child.exited.then((exit) => {
    live = false;
    clearTimeout(killer);
    if (last?.type === "done") return { progress, exitCode: EXIT.done };
    if (killer !== undefined) return failed(progress, terminated(progress));
    const { failure } = last?.type === "failed" ? last : { failure: undefined };
    if (failure === undefined) return failed(progress, crashOf(exit));
    return failed(progress, new Failure(failure.reason, failure.message));
  });
  return {
    progress: () => progress,
    live: () => live,
    terminate() {
      killer ??= setTimeout(() => child.kill("SIGKILL"), TERMINATION_MILLISECONDS);
      child.kill("SIGTERM");
    },
    finished,
  };
}
