/** `modelwright fetch`: copies a file or folder from wherever a URI leads, or from a folder, to a claim or folder. */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { EXIT } from "../../crds/contract/exit-code.ts";
import { MANIFEST_FILE } from "../../crds/contract/names.ts";
import { Failure, systemCode } from "../failure.ts";
import { openArtefact } from "../store/artefact.ts";
import { listFiles, sha256OfFile, sync } from "../store/files.ts";
import { resolveInput, resolveUri } from "../store/uri.ts";
import type { Environment } from "./environment.ts";
import { UsageError } from "./usage.ts";

const isUri = (place: string) => place.includes("://");

async function copyChecked(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
  await sync(to);
  if ((await sha256OfFile(from)) === (await sha256OfFile(to))) return;
  throw new Failure("DigestMismatch", `${to} differs from ${from} after copying; check the volume and copy again`);
}

/** Copies to a hidden name beside `to`, which then appears as a whole. */
async function copyWhole(from: string, to: string): Promise<void> {
  const staging = join(dirname(to), `.${randomBytes(6).toString("hex")}.partial`);
  try {
    const folder = (await stat(from)).isDirectory();
    const files = folder ? await listFiles(from) : [];
    if (folder && files.includes(MANIFEST_FILE)) await openArtefact(from);
    if (!folder) await copyChecked(from, staging);
    for (const file of files) await copyChecked(join(from, file), join(staging, file));
    await rename(staging, to);
    await sync(dirname(to));
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    const code = systemCode(error);
    if (code === "ENOTEMPTY" || code === "EEXIST") {
      throw new Failure("OutputNotWritable", `${to} exists already; remove it first`, { cause: error });
    }
    if (error instanceof Failure || code === undefined) throw error;
    throw new Failure("OutputNotWritable", `Cannot copy to ${to} (${code}); check its space and permissions`, {
      cause: error,
    });
  }
}

async function localSource(place: string, volumes: string): Promise<string> {
  if (isUri(place)) return resolveInput(place, volumes);
  const path = resolve(place);
  await stat(path).catch((cause: unknown) => {
    throw new Failure("InputMissing", `${place} does not exist; correct the path`, { cause });
  });
  return path;
}

export async function fetch(argv: string[], { volumes, out }: Environment): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    options: { volumes: { type: "string", default: volumes } },
    allowPositionals: true,
  });
  const [source, destination, ...others] = positionals;
  if (source === undefined || destination === undefined || others.length > 0) {
    throw new UsageError("fetch needs SOURCE and DESTINATION");
  }
  const from = await localSource(source, values.volumes);
  const to = isUri(destination) ? await resolveUri(destination, values.volumes) : resolve(destination);
  await mkdir(dirname(to), { recursive: true });
  await copyWhole(from, to);
  out(`copied ${source} to ${destination}`);
  return EXIT.done;
}
