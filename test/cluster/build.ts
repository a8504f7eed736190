import { readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import { availableVersion, ensurePackages } from "./packages.ts";
import type { Program } from "./programs.ts";
import { ClusterUnavailable } from "./unavailable.ts";

/** Builds one program into a folder. The file appears when it is complete, so that an interrupted build resumes with the next one. */
export async function buildProgram({
  program,
  version,
  module,
  folder,
}: {
  program: Program;
  version: string;
  module: string;
  folder: string;
}): Promise<void> {
  const variables = Object.entries(program.stamp?.(version) ?? {}).map(([name, value]) => `-X ${name}=${value}`);
  const part = join(folder, `.${program.name}.${process.pid}`);
  const tags = program.tags === undefined ? [] : ["-tags", program.tags];
  const args = [
    "build",
    "-trimpath",
    "-buildvcs=false",
    ...tags,
    "-ldflags",
    ["-s -w", ...variables].join(" "),
    "-o",
    part,
    program.package,
  ];
  try {
    await command("go", args, { cwd: module, env: { ...process.env, CGO_ENABLED: "0" } });
    await rename(part, join(folder, program.name));
  } finally {
    await rm(part, { force: true });
  }
}

/** Makes sure that there is a Go that can build the module; installs Debian's where that one is new enough. */
export async function ensureGo(module: string, log: (line: string) => void): Promise<void> {
  const needed = /^go (\S+)$/m.exec(await readFile(join(module, "go.mod"), "utf8"))?.[1] ?? "1";
  const present = await goVersion(module);
  if (present !== undefined && atLeast(present, needed)) return;
  const packaged = await availableVersion("golang-go");
  if (packaged !== undefined && atLeast(packaged, needed)) {
    await ensurePackages(["golang-go"], "to build the cluster's programs", { log });
    return;
  }
  throw new ClusterUnavailable(
    `Go ${needed} or newer is needed to build its programs, and ${present === undefined ? "there is no go on the PATH" : `go on the PATH is ${present}`}`,
    "Install it from https://go.dev/dl, or give a folder of programs by --bin",
  );
}

/** Version of the Go that builds the module (a newer Go may be fetched by the one on the PATH). */
async function goVersion(module: string): Promise<string | undefined> {
  const answer = await command("go", ["env", "GOVERSION"], { cwd: module }).catch(() => "");
  return /go(\d+(?:\.\d+)*)/.exec(answer)?.[1];
}

/** Is a version such as 1.26.1 at least another one? What follows the numbers does not count. */
export function atLeast(version: string, needed: string): boolean {
  const [have, want] = [numbers(version), numbers(needed)];
  for (const [index, number] of want.entries()) {
    const mine = have[index] ?? 0;
    if (mine !== number) return mine > number;
  }
  return true;
}

const numbers = (version: string): number[] => (/^\d+(?:\.\d+)*/.exec(version)?.[0] ?? "0").split(".").map(Number);
