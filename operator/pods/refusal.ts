/** Why pods are not created at all, from the words of the API server. */
import type { Failure } from "../reasons.ts";

/** A ResourceQuota is exceeded, or asks for amounts that the pod does not say; undefined for anything else. */
export function quotaFailure(message: string): Failure | undefined {
  const unsaid = /failed quota: \S+: must specify (.+)/.exec(message)?.[1];
  if (unsaid !== undefined) return { reason: "QuotaExceeded", message: `${message}; set ${fields(unsaid)}` };
  if (!message.includes("exceeded quota")) return undefined;
  return { reason: "QuotaExceeded", message: `${message}; lower spec.resources or ask for a larger ResourceQuota` };
}

/** The fields of spec for amounts such as `limits.memory for: runtime; cpu for: runtime`. */
function fields(amounts: string): string {
  const names = amounts.split(";").map((amount) => amount.trim().split(" ")[0] ?? "");
  return names
    .map((name) => `spec.resources.${/^(limits|requests)\./.test(name) ? name : `requests.${name}`}`)
    .join(" and ");
}
