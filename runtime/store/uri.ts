/** Where a URI is on this machine: volumes are mounted, remote places are fetched. */
import { realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { type Access, Uri } from "../../crds/location.ts";
import { Failure, systemCode } from "../failure.ts";
import { cached } from "./remote/cache.ts";

const VOLUME = "pvc://";

function requireForm(uri: string): void {
  if (Uri.safeParse(uri).success) return;
  throw new Failure(
    "InvalidSpec",
    `${uri} is not of the form pvc://CLAIM/PATH, s3://BUCKET/KEY, gs://BUCKET/KEY, https://HOST/PATH or oci://REGISTRY/REPOSITORY:TAG (segments of letters, digits, '.', '_' and '-' that do not begin with '.' or '-')`,
  );
}

/** The real path of the deepest part of `path` that exists. */
async function realExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    return realExisting(dirname(path));
  }
}

async function inVolume(uri: string, volumesRoot: string): Promise<string> {
  const [claim = "", ...segments] = uri.slice(VOLUME.length).split("/");
  const root = await realpath(join(volumesRoot, claim)).catch((cause: unknown) => {
    throw new Failure("InputMissing", `${uri}: there is no claim ${claim} here; create it, or correct the URI`, {
      cause,
    });
  });
  const local = join(root, ...segments);
  const real = await realExisting(local);
  if (real !== root && !real.startsWith(root + sep)) {
    throw new Failure("InvalidSpec", `${uri} leads out of its claim through a symbolic link; remove the link`);
  }
  return local;
}

/** Is it a place whose files must be fetched, and brought back? */
export function isRemote(uri: string): boolean {
  return /^(s3|gs|https|oci):\/\//.test(uri);
}

/**
 * The local path of `uri`, whether or not something is there. Symbolic links may not lead out of a claim.
 * Throws Failure: InvalidSpec (form, a way out of the claim, a remote place), InputMissing (no such claim).
 */
export async function resolveUri(uri: string, volumesRoot: string): Promise<string> {
  requireForm(uri);
  if (isRemote(uri)) throw new Failure("InvalidSpec", `${uri} cannot be written to as a folder; use pvc://`);
  return inVolume(uri, volumesRoot);
}

/**
 * The local path of `uri`, which must exist; what is remote is fetched with `access`.
 * Throws Failure: InputMissing naming the URI, AccessDenied, StoreUnavailable, and as resolveUri.
 */
export async function resolveInput(uri: string, volumesRoot: string, access: Access = {}): Promise<string> {
  if (isRemote(uri)) {
    requireForm(uri);
    return cached(uri, access);
  }
  const local = await resolveUri(uri, volumesRoot);
  await stat(local).catch((cause: unknown) => {
    const code = systemCode(cause);
    const what = code === "ENOENT" || code === "ENOTDIR" ? "does not exist" : `cannot be read (${code ?? "unknown"})`;
    throw new Failure("InputMissing", `${uri} ${what}; put the file there, or correct the URI`, { cause });
  });
  return local;
}
