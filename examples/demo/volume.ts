/** Namespace, volume and data: what a user has before Modelwright comes in. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import type { Kubectl } from "../../test/cluster/kubectl.ts";
import type { Images } from "../../test/cluster/platform.ts";
import { DIGITS } from "./digits.ts";

/** A manifest of examples/digits. */
export async function manifest(name: string): Promise<Record<string, unknown>> {
  return parse(await readFile(join(DIGITS, name), "utf8"));
}

/** A copy of the Job with its containers' image replaced. */
export function withImage(job: Record<string, unknown>, image: string): unknown {
  const copy = structuredClone(job) as { spec: { template: { spec: { containers: { image: string }[] } } } };
  for (const container of copy.spec.template.spec.containers) container.image = image;
  return copy;
}

/** Makes the namespace, restricted, with the volume `models` that holds data/train.csv and data/test.csv. */
export async function prepareDigits(kubectl: Kubectl, namespace: string, { runtime }: Images): Promise<void> {
  await kubectl.apply({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
  });
  await kubectl.apply(await manifest("volume.yaml"));
  const files = ["train.csv", "test.csv"];
  const data = files.map(async (file) => [file, await readFile(join(DIGITS, "data", file), "utf8")]);
  await kubectl.apply({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "digits-data" },
    data: Object.fromEntries(await Promise.all(data)),
  });
  // a Job cannot change: one of an earlier run makes room
  await kubectl.run(["delete", "job", "digits-data", "--ignore-not-found", "--cascade=foreground"]);
  await kubectl.apply(withImage(await manifest("data-job.yaml"), runtime));
  await kubectl.run(["wait", "--for=condition=Complete", "job/digits-data", "--timeout=180s"]);
}
