import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "./places.ts";
import type { Environment } from "./places.ts";
import { ClusterUnavailable } from "./unavailable.ts";

/** Everything that a cluster is made of. */
export const programNames = [
  "etcd",
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kubelet",
  "kube-proxy",
  "kubectl",
  "kwok",
  "containerd",
  "containerd-shim-runc-v2",
  "ctr",
  "coredns",
  "helm",
  "pause",
] as const;

/** Where the definitions of the programs lie: a Go module each. */
export const definitions = join(import.meta.dirname, "programs");

export type FindOptions = {
  /** A folder that holds the programs; nothing is looked up elsewhere then. */
  bin?: string;
  log?: (line: string) => void;
  env?: Environment;
};

/** The folder of the programs: the one given, else the cache; what is missing in the cache is downloaded or built there. */
export async function findPrograms({ bin, env = process.env }: FindOptions = {}): Promise<string> {
  const given = bin ?? env["MODELWRIGHT_CLUSTER_BIN"];
  const folder = given ?? join(cacheFolder(env), "cluster", await versionKey(), "bin");
  if (!existsSync(join(folder, "kube-apiserver"))) {
    throw new ClusterUnavailable(`kube-apiserver is not in ${folder}`, "Run npm run cluster -- build");
  }
  return folder;
}

/** A short name for exactly these versions and build options. */
export async function versionKey(folder: string = definitions): Promise<string> {
  const hash = createHash("sha256");
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  for (const path of files.map((entry) => join(entry.parentPath, entry.name)).toSorted()) {
    hash.update(path.slice(folder.length)).update(await readFile(path));
  }
  return hash.digest("hex").slice(0, 12);
}
