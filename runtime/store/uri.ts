/** `pvc://CLAIM/PATH`: where it is on this machine. */
import { realpath, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { Uri } from "../../crds/common.ts";
import { Failure, systemCode } from "../failure.ts";

const SCHEME = "pvc://";

function parse(uri: string): { claim: string; path: string } {
  if (!Uri.safeParse(uri).success) {
    throw new Failure(
      "InvalidSpec",
      `${uri} is not of the form pvc://CLAIM/PATH (segments of letters, digits, '.', '_' and '-' that do not begin with '.' or '-')`,
    );
  }
  const rest = uri.slice(SCHEME.length);
  const slash = rest.indexOf("/");
  return { claim: rest.slice(0, slash), path: rest.slice(slash + 1) };
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

/**
 * The local path of `uri`, whether or not something is there. Symbolic links may not lead out of the claim.
 * Throws Failure: InvalidSpec (form, a way out of the claim), InputMissing (no such claim).
 */
export async function resolveUri(uri: string, volumesRoot: string): Promise<string> {
  const { claim, path } = parse(uri);
  const root = await realpath(join(volumesRoot, claim)).catch((cause: unknown) => {
    throw new Failure("InputMissing", `${uri}: there is no claim ${claim} here; create it, or correct the URI`, {
      cause,
    });
  });
  const local = join(root, path);
  const real = await realExisting(local);
  if (real !== root && !real.startsWith(root + sep)) {
    throw new Failure("InvalidSpec", `${uri} leads out of its claim through a symbolic link; remove the link`);
  }
  return local;
}

/** The local path of `uri`, which must exist. Throws Failure: InputMissing naming the URI, and as resolveUri. */
export async function resolveInput(uri: string, volumesRoot: string): Promise<string> {
  const local = await resolveUri(uri, volumesRoot);
  await stat(local).catch((cause: unknown) => {
    const code = systemCode(cause);
    const what = code === "ENOENT" || code === "ENOTDIR" ? "does not exist" : `cannot be read (${code ?? "unknown"})`;
    throw new Failure("InputMissing", `${uri} ${what}; put the file there, or correct the URI`, { cause });
  });
  return local;
}
