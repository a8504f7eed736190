/** Events of an object's way through a queue: one for each change of its condition's reason. */
import { type Condition, findCondition } from "../kernel/conditions.ts";
import { EVENTS, type Note } from "../reasons.ts";
import { isQueueReason } from "./admission.ts";

const WARNINGS: readonly string[] = ["Inadmissible", "KueueNotInstalled"];

export function queueNotes(before: readonly Condition[], after: readonly Condition[]): Note[] {
  const now = findCondition(after, "Queued");
  if (now === undefined || findCondition(before, "Queued")?.reason === now.reason) return [];
  const told = now.reason === "Admitted" || isQueueReason(now.reason);
  const reason = told ? EVENTS.find((candidate) => candidate === now.reason) : undefined;
  if (reason === undefined) return [];
  return [{ type: WARNINGS.includes(reason) ? "Warning" : "Normal", reason, message: now.message }];
}
