import { existsSync } from "node:fs";
import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../test/cluster/command.ts";
import type { Buildah } from "./buildah.ts";
import { digest } from "./files.ts";

const suite = "bookworm";
/** What a container never reads. */
const emptied = [
  "usr/share/doc",
  "usr/share/info",
  "usr/share/lintian",
  "usr/share/locale",
  "usr/share/man",
  "var/cache/apt",
  "var/cache/debconf",
  "var/cache/ldconfig",
  "var/lib/apt/lists",
  "var/log",
];
/** Copyright notices stay: they are the licence of what is shipped. */
const kept = "copyright";

export const baseKey = digest(suite, emptied);
export const baseName = `localhost/modelwright/base:${suite}-${baseKey}`;

/**
 * A small Debian as the base of images, for where no registry is at hand: bootstrapped once (half a minute, as root),
 * kept as an archive in `folder`.
 */
export async function ensureBase(buildah: Buildah, folder: string, log: (line: string) => void): Promise<string> {
  if (await buildah.has(baseName)) return baseName;
  const archive = join(folder, `base-${baseKey}.tar`);
  if (existsSync(archive)) {
    await buildah.load(archive);
    return baseName;
  }
  log(`Making a base image from Debian ${suite} (about half a minute)`);
  const root = await mkdtemp(join(folder, "debian-"));
  try {
    await command("debootstrap", ["--variant=minbase", suite, root, ...(await mirror())]);
    for (const path of emptied) await empty(join(root, path));
    await buildah.fromFolder(root, baseName);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
  await buildah.save(baseName, `${archive}.part`);
  await rename(`${archive}.part`, archive);
  return baseName;
}

/** Where this machine itself gets the same Debian from, if it does; else debootstrap's default. */
async function mirror(): Promise<string[]> {
  const filters = [`Codename: ${suite}`, "Origin: Debian", "Component: main"];
  const lines = await command("apt-get", ["indextargets", "--format", "$(REPO_URI)", ...filters]).catch(() => "");
  return lines.split("\n").slice(0, 1).filter(Boolean);
}

async function empty(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      await empty(path);
      if ((await readdir(path)).length === 0) await rm(path, { recursive: true });
    } else if (entry.name !== kept) await rm(path);
  }
}
