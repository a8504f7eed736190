/** The state of a namespace as text, without what differs between any two lives. */
import { CHILD_PLURALS, type Chapter, type OwnerPlural, type Seen } from "./journal.ts";

const HIDDEN = [
  "uid",
  "resourceVersion",
  "generation",
  "managedFields",
  "creationTimestamp",
  "clusterIP",
  "clusterIPs",
];
const SERVER_ANNOTATION = "deployment.kubernetes.io/revision";

/** The object itself with its status, its children as they were asked for, and how many pods there are. */
export function snapshot(chapter: Chapter, plural: OwnerPlural, namespace: string): string {
  const owners = chapter.all(plural).map(({ spec, status }) => ({ spec, status }));
  const children = Object.fromEntries(
    CHILD_PLURALS.filter((child) => child !== "pods").map((child) => [
      child,
      chapter.all(child).map(asked).sort(byName),
    ]),
  );
  const pods = chapter
    .all("pods")
    .map(({ metadata: { labels }, status }) => `${JSON.stringify(labels)} ${String(status?.["phase"])}`);
  return masked(JSON.stringify({ owners, children, pods: pods.sort() }, members, 1), namespace);
}

function asked({ kind, metadata: { name, labels, annotations, ownerReferences }, immutable, data, spec }: Seen) {
  // What is in a Secret is drawn anew in each life.
  const held = kind === "Secret" ? Object.keys(data ?? {}) : data;
  return { name, labels, annotations, ownerReferences, immutable, data: held, spec };
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function members(key: string, value: unknown): unknown {
  if (HIDDEN.includes(key) || key === SERVER_ANNOTATION) return undefined;
  if (key !== "conditions" || !Array.isArray(value)) return value;
  return (value as { type: string }[]).toSorted((a, b) => (a.type < b.type ? -1 : 1));
}

function masked(text: string, namespace: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "UID")
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
    .replaceAll(/(digits-[0-9a-f]{10})-[0-9a-f]{8}\b/g, "$1-SECRET")
    .replaceAll(/(digits-[0-9a-f]{10})(-[0-9a-z]+)?-[0-9a-z]{5}\b/g, "$1-POD")
    .replaceAll(namespace, "NAMESPACE");
}
