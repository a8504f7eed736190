import { timestamp } from "./clock.ts";

export type ConditionStatus = "True" | "False" | "Unknown";

/** A metav1.Condition. */
export interface Condition {
  type: string;
  status: ConditionStatus;
  /** UpperCamelCase, from a documented list. */
  reason: string;
  message: string;
  /** RFC 3339, seconds. */
  lastTransitionTime: string;
  observedGeneration?: number;
}

export type ConditionChange = Omit<Condition, "lastTransitionTime">;

const longestMessage = 1024;

/** The conditions with one set: in its old place, and with its old transition time unless the status changed. */
export function setCondition(conditions: readonly Condition[], change: ConditionChange, now: number): Condition[] {
  const old = conditions.find((condition) => condition.type === change.type);
  const lastTransitionTime = old && old.status === change.status ? old.lastTransitionTime : timestamp(now);
  const next = { ...change, message: truncate(change.message, longestMessage), lastTransitionTime };
  return old ? conditions.map((condition) => (condition === old ? next : condition)) : [...conditions, next];
}

export function removeCondition(conditions: readonly Condition[], type: string): Condition[] {
  return conditions.filter((condition) => condition.type !== type);
}

export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === "True";
}

/** What tools that wait for readiness (kubectl, Helm, Flux) make of an object. */
export type Health =
  | { readonly state: "Ready"; readonly reason: string; readonly message: string }
  /** On its way. */
  | { readonly state: "Reconciling"; readonly reason: string; readonly message: string }
  /** Needs a person. */
  | { readonly state: "Stalled"; readonly reason: string; readonly message: string };

/**
 * Sets Ready, and the abnormal-true conditions Reconciling and Stalled, which exist only while true:
 * the convention of kstatus.
 */
export function setHealth(
  conditions: readonly Condition[],
  health: Health,
  observedGeneration: number,
  now: number,
): Condition[] {
  const { state, reason, message } = health;
  const rest = conditions.filter(
    (condition) => condition.type === state || !["Reconciling", "Stalled"].includes(condition.type),
  );
  const ready = {
    type: "Ready",
    status: state === "Ready" ? "True" : "False",
    reason,
    message,
    observedGeneration,
  } as const;
  const next = setCondition(rest, ready, now);
  if (state === "Ready") return next;
  return setCondition(next, { type: state, status: "True", reason, message, observedGeneration }, now);
}

/** At most `length` characters, with an ellipsis where something was cut. */
export function truncate(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
