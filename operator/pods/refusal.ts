/** Why pods, or what makes them, are not created at all: the words of the API server, in terms of our kinds. */
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

/** Where parts of a pod template come from; the first that fits. */
const SOURCES: readonly (readonly [template: string, own: string])[] = [
  ["spec.template.spec.containers[0].resources", "spec.resources"],
  ["spec.template.spec.containers[0].image", "spec.runtime.image"],
  ["spec.template.spec.containers[0].env", "spec.pod.env"],
  ["spec.template.spec.resourceClaims", "spec.gpu"],
  ["spec.template.metadata.", "spec.pod."],
  ["spec.template.spec.", "spec.pod."],
  ["spec.template.labels", "spec.pod.labels"],
  ["spec.template.annotations", "spec.pod.annotations"],
];

/** A message about a Job or Deployment, with the fields that the user wrote. */
export function inOwnFields(message: string): string {
  return SOURCES.reduce((text, [template, own]) => text.replaceAll(template, own), message);
}
