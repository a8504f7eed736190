/** What status says of a job that cannot begin, as nobody knows its model. */
import { timestamp } from "../kernel/clock.ts";
import { setCondition } from "../kernel/conditions.ts";
import type { Resolution } from "../model-reference.ts";
import { present } from "../pods/pod-record.ts";
import { failureNote, type Note } from "../reasons.ts";
import type { JobOwner } from "./objects.ts";
import type { RunStatus } from "./observed.ts";
import { knownConditions } from "./status.ts";

/** The status of a job whose model cannot be known: a result that is recorded stands. */
export function withoutModel(
  job: JobOwner & { readonly spec: { readonly suspend: boolean } },
  resolution: Exclude<Resolution, { state: "Known" }>,
  now: number,
): { status: object; notes: Note[] } {
  const before: RunStatus = job.status ?? {};
  const observedGeneration = job.metadata.generation;
  if (before.state === "Succeeded" && before.observedGeneration === observedGeneration) {
    return { status: before, notes: [] };
  }
  const wrong = resolution.state === "Wrong";
  const reason = wrong ? resolution.failure.reason : "WaitingForModel";
  const message = wrong ? resolution.failure.message : resolution.message;
  const known = knownConditions(before).filter(({ type }) => type !== (wrong ? "Reconciling" : "Stalled"));
  const conditions = [
    { type: "Complete", status: "False" },
    { type: "Failed", status: wrong ? "True" : "False" },
    { type: "Suspended", status: job.spec.suspend ? "True" : "False" },
    { type: wrong ? "Stalled" : "Reconciling", status: "True" },
  ] as const;
  const status = present({
    ...before,
    observedGeneration,
    state: wrong ? ("Failed" as const) : ("Pending" as const),
    conditions: conditions.reduce(
      (all, condition) => setCondition(all, { ...condition, reason, message, observedGeneration }, now),
      known,
    ),
    lastFailure: wrong
      ? before.lastFailure?.message === message
        ? before.lastFailure
        : { reason, message, time: timestamp(now) }
      : before.lastFailure,
  });
  const isNews = !knownConditions(before).some((condition) => condition.message === message);
  return { status, notes: wrong && isNews ? [failureNote(resolution.failure)] : [] };
}
