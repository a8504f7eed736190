/** The result of a pod, as Kubernetes keeps it after the pod is gone. */
import { access, constants, writeFile } from "node:fs/promises";
import { PATHS, TERMINATION_MESSAGE_BYTES } from "../../crds/contract/names.ts";
import type { Progress } from "../../crds/contract/progress.ts";
import { limited } from "../optimization/choice.ts";

const fits = (text: string) => Buffer.byteLength(text) <= TERMINATION_MESSAGE_BYTES;

/** As JSON of at most 4096 bytes: what is too long is cut, least important first. */
export function terminationMessage(progress: Progress): string {
  const whole = JSON.stringify(progress);
  if (fits(whole)) return whole;
  const { failure, ...rest } = progress;
  const shortened = failure === undefined ? {} : { failure: { ...failure, message: failure.message.slice(0, 512) } };
  const cut = { ...rest, ...shortened };
  const fewer = fewerCandidates(cut).map((one) => JSON.stringify(one));
  const without = (names: readonly string[]) =>
    JSON.stringify(Object.fromEntries(Object.entries(cut).filter(([name]) => !names.includes(name))));
  const order = ["candidates", "history", "phaseSeconds", "metrics", "missedGoals", "evaluation", "before", "after"];
  const texts = [...fewer, ...order.map((_, index) => without(order.slice(0, index)))];
  return texts.find(fits) ?? without(order);
}

/** The same with fewer and fewer candidates, the most telling to the end. */
function fewerCandidates(progress: Progress): Progress[] {
  if (progress.kind !== "OptimizationProgress") return [];
  const { candidates = [] } = progress;
  return candidates.map((_, less) => ({ ...progress, candidates: limited(candidates, candidates.length - less) }));
}

/** Writes it to `file`; without one, where Kubernetes looks, if that is there. */
export async function writeTerminationMessage(progress: Progress, file: string | undefined): Promise<void> {
  if (file === undefined) {
    const inPod = await access(PATHS.terminationMessage, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (!inPod) return;
  }
  await writeFile(file ?? PATHS.terminationMessage, terminationMessage(progress));
}
