import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { buildProgram, ensureGo } from "./build.ts";
import { downloadProgram, siteAnswers } from "./download.ts";
import { cacheFolder } from "./places.ts";
import type { Environment } from "./places.ts";
import { ClusterUnavailable } from "./unavailable.ts";

/** A program of the cluster: a main package in one of the Go modules of `programs/`, and where its release can be downloaded. */
export type Program = {
  name: string;
  /** Folder in `programs/`. */
  module: string;
  /** Package path; `.` for a main of our own. */
  package: string;
  /** The Go module that carries the version, as the module's go.mod requires it. */
  versionOf?: string;
  tags?: string;
  /** Variables that the linker sets, for a version such as `v1.36.3`. */
  stamp?: (version: string) => Record<string, string>;
  release?: Release;
  /** A cluster can do without it. */
  optional?: boolean;
};

/** An official release file. `sum` is a file with its sha256, or the GitHub repository whose release lists the digests. */
export type Release = {
  url: (version: string, arch: string) => string;
  sum: "url.sha256" | "url.sha256sum" | { repository: string };
  /** Path of the program in the archive; no archive without it. */
  member?: (arch: string) => string;
};

/** Where the Go modules lie. */
export const definitions = join(import.meta.dirname, "programs");

const kubeStamp = (version: string): Record<string, string> => {
  const variable = "k8s.io/component-base/version";
  const [major = "", minor = ""] = version.slice(1).split(".");
  return {
    [`${variable}.gitVersion`]: version, // without it the servers report v0.0.0 and charts refuse them
    [`${variable}.gitMajor`]: major,
    [`${variable}.gitMinor`]: minor,
    [`${variable}.gitCommit`]: "0",
    [`${variable}.gitTreeState`]: "clean",
  };
};

const kube = (name: string): Program => ({
  name,
  module: "kube",
  package: `k8s.io/kubernetes/cmd/${name}`,
  versionOf: "k8s.io/kubernetes",
  stamp: kubeStamp,
  release: {
    url: (version, arch) => `https://dl.k8s.io/${version}/bin/linux/${arch}/${name}`,
    sum: "url.sha256",
  },
});

const containerd = (name: string): Program => ({
  name,
  module: "containerd",
  package: `github.com/containerd/containerd/v2/cmd/${name}`,
  versionOf: "github.com/containerd/containerd/v2",
  tags: "no_btrfs no_zfs no_devmapper",
  release: {
    url: (version, arch) =>
      `${github("containerd/containerd", version)}/containerd-${version.slice(1)}-linux-${arch}.tar.gz`,
    sum: { repository: "containerd/containerd" },
    member: () => `bin/${name}`,
  },
});

const github = (repository: string, version: string): string =>
  `https://github.com/${repository}/releases/download/${version}`;

export const programs: Program[] = [
  kube("kube-apiserver"), // first: it compiles most of what the others share
  kube("kube-controller-manager"),
  kube("kube-scheduler"),
  kube("kubectl"),
  kube("kubelet"),
  kube("kube-proxy"),
  {
    name: "etcd",
    module: "kube",
    package: "go.etcd.io/etcd/server/v3",
    versionOf: "go.etcd.io/etcd/server/v3",
    release: {
      url: (version, arch) => `${github("etcd-io/etcd", version)}/etcd-${version}-linux-${arch}.tar.gz`,
      sum: { repository: "etcd-io/etcd" },
      member: (arch) => `etcd-*-linux-${arch}/etcd`,
    },
  },
  {
    name: "kwok",
    module: "kube",
    package: "sigs.k8s.io/kwok/cmd/kwok",
    versionOf: "sigs.k8s.io/kwok",
    release: {
      url: (version, arch) => `${github("kubernetes-sigs/kwok", version)}/kwok-linux-${arch}`,
      sum: { repository: "kubernetes-sigs/kwok" },
    },
  },
  containerd("containerd"),
  containerd("containerd-shim-runc-v2"),
  containerd("ctr"),
  {
    name: "coredns",
    module: "coredns",
    package: ".",
    versionOf: "github.com/coredns/coredns",
    release: {
      url: (version, arch) => `${github("coredns/coredns", version)}/coredns_${version.slice(1)}_linux_${arch}.tgz`,
      sum: { repository: "coredns/coredns" },
      member: () => "coredns",
    },
  },
  {
    name: "helm",
    module: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    versionOf: "helm.sh/helm/v4",
    stamp: (version) => ({ "helm.sh/helm/v4/internal/version.version": version }),
    release: {
      url: (version, arch) => `https://get.helm.sh/helm-${version}-linux-${arch}.tar.gz`,
      sum: "url.sha256sum",
      member: (arch) => `linux-${arch}/helm`,
    },
  },
  { name: "pause", module: "pause", package: ".", optional: true },
];

export type FindOptions = {
  /** A folder that holds the programs; nothing is looked up elsewhere then. */
  bin?: string | undefined;
  log?: ((line: string) => void) | undefined;
  env?: Environment;
};

/**
 * The folder of the programs: the one given (by argument or by MODELWRIGHT_CLUSTER_BIN), else the cache.
 * What the cache lacks is downloaded from the official release sites or, where they cannot be reached, built from Go modules.
 */
export async function findPrograms({ bin, log = console.log, env = process.env }: FindOptions = {}): Promise<string> {
  const given = bin ?? env["MODELWRIGHT_CLUSTER_BIN"];
  if (given) {
    const absent = missing(given).filter(({ optional }) => !optional);
    if (absent.length === 0) return given;
    const names = absent.map((program) => program.name).join(", ");
    throw new ClusterUnavailable(
      `${given} lacks ${names}`,
      "Add them, or leave the folder out to have them downloaded or built",
    );
  }
  const folder = join(cacheFolder(env), "cluster", await versionKey(), "bin");
  const wanted = missing(folder);
  if (wanted.length > 0) await provide(wanted, folder, log);
  return folder;
}

const missing = (folder: string): Program[] => programs.filter(({ name }) => !existsSync(join(folder, name)));

async function provide(wanted: Program[], folder: string, log: (line: string) => void): Promise<void> {
  if (process.platform !== "linux") {
    throw new ClusterUnavailable(
      `the programs of a cluster run on Linux, this is ${process.platform}`,
      "Use --kind, a remote cluster or the local mode",
    );
  }
  await mkdir(folder, { recursive: true });
  log(`The cluster's programs go to ${folder}`);
  const online = await siteAnswers();
  log(
    online
      ? "Downloading them from their official release sites"
      : "The release sites cannot be reached: building them from Go modules (about 10 minutes on 2 cores the first time)",
  );
  for (const [index, program] of wanted.entries()) {
    const label = `[${index + 1}/${wanted.length}] ${program.name}`;
    const version = await versionOf(program);
    const downloaded = online && (await download(program, version, folder, label, log));
    if (downloaded) continue;
    await build(program, version, folder, label, log).catch((error: unknown) => {
      if (!program.optional) throw error;
      log(`${label} left out: ${error instanceof Error ? error.message : String(error)}`);
    });
  }
}

async function download(
  program: Program,
  version: string,
  folder: string,
  label: string,
  log: (line: string) => void,
): Promise<boolean> {
  if (!program.release) return false;
  try {
    await downloadProgram({ name: program.name, release: program.release, version, folder });
    log(`${label} ${version} downloaded, checksum verified`);
    return true;
  } catch (error) {
    log(`${label}: ${error instanceof Error ? error.message : String(error)}; building it instead`);
    return false;
  }
}

async function build(
  program: Program,
  version: string,
  folder: string,
  label: string,
  log: (line: string) => void,
): Promise<void> {
  await ensureGo(join(definitions, program.module), log);
  const start = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - start) / 1000)} s`;
  log(`${label} ${version} building …`);
  const patience = setInterval(() => log(`${label} still building (${seconds()})`), 20_000);
  try {
    await buildProgram({ program, version, module: join(definitions, program.module), folder });
  } finally {
    clearInterval(patience);
  }
  log(`${label} built in ${seconds()}`);
}

/** The version that go.mod requires; empty for a program of our own. */
export async function versionOf(program: Program): Promise<string> {
  if (program.versionOf === undefined) return "";
  const lines = (await readFile(join(definitions, program.module, "go.mod"), "utf8"))
    .split("\n")
    .map((line) => line.trim().replace(/^require /, ""));
  const line = lines.find((text) => text.startsWith(`${program.versionOf} v`));
  if (line === undefined) throw new Error(`programs/${program.module}/go.mod does not require ${program.versionOf}`);
  return line.split(" ")[1] ?? "";
}

/** A short name for exactly these versions and build options on this architecture. */
export async function versionKey(): Promise<string> {
  const options = programs.map(({ name, package: path, tags, stamp }) => [name, path, tags, stamp?.("v0.0.0")]);
  const hash = createHash("sha256").update(JSON.stringify([process.arch, options]));
  const files = (await readdir(definitions, { recursive: true, withFileTypes: true })).filter((entry) =>
    entry.isFile(),
  );
  for (const path of files.map((entry) => join(entry.parentPath, entry.name)).toSorted()) {
    hash.update(path.slice(definitions.length)).update(await readFile(path));
  }
  return hash.digest("hex").slice(0, 12);
}
