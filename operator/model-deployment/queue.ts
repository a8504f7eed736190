/** What the pods of a ModelDeployment wait for in a queue of Kueue. */
import type { Condition } from "../kernel/conditions.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { podProblem } from "../pods/problem.ts";
import { bounded, type Failure } from "../reasons.ts";
import type { ObservedDeployment } from "./observed.ts";

type Told = Pick<Condition, "status" | "reason" | "message">;

/** Whom Kueue has evicted comes first, then the pod that waits longest. Undefined where no queue is named. */
export function queueCondition({ owner, pods }: ObservedDeployment, waiting: Failure | undefined): Told | undefined {
  if (owner.spec.queueName === undefined) return undefined;
  if (waiting?.reason === "KueueNotInstalled") return waits(waiting);
  const inLine = pods.filter(({ queue }) => queue !== undefined);
  const evicted = inLine.find(isEvicted)?.admission;
  if (evicted !== undefined) return waits(evicted);
  const there = inLine.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const gated = there.filter((pod) => pod.gated === true).toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
  const failure = gated[0] && podProblem(gated[0])?.failure;
  if (failure === undefined) {
    return { status: "False", reason: there.length === 0 ? "NotQueued" : "Admitted", message: "" };
  }
  const message = `${gated.length} of ${there.length} pods wait: ${failure.message}`;
  return waits(bounded({ reason: failure.reason, message }));
}

/** Kueue deletes such a pod, and the one that takes its place waits. */
function isEvicted({ admission, metadata }: PodRecord): boolean {
  const taken = admission?.reason === "Preempted" || admission?.reason === "Evicted";
  return taken && metadata.deletionTimestamp !== undefined;
}

function waits({ reason, message }: Pick<Told, "reason" | "message">): Told {
  return { status: "True", reason, message };
}
