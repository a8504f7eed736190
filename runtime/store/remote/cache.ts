/** Remote places as local ones: downloaded once for each version, into the pod's scratch space. */
import { createHash } from "node:crypto";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, sep } from "node:path";
import type { Access } from "../../../crds/location.ts";
import { Failure, systemCode } from "../../failure.ts";
import { download } from "./download.ts";
import { webEntries } from "./https.ts";
import { registryEntries } from "./oci.ts";
import type { Entry } from "./remote.ts";
import { ObjectStore, locationOf } from "./s3.ts";

/** Files that are fetched at the same time. */
const PARALLEL = 4;

async function entriesOf(uri: string, access: Access): Promise<{ entries: Entry[]; close: () => void }> {
  if (uri.startsWith("https://")) return { entries: await webEntries(uri, access), close: () => undefined };
  if (uri.startsWith("oci://")) return { entries: await registryEntries(uri, access), close: () => undefined };
  const store = await ObjectStore.open(uri, access);
  try {
    return { entries: await store.entries(locationOf(uri).key), close: () => store.close() };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** The place of a file below `folder`. Throws Failure InvalidSpec for one that leads out of it. */
export function inside(folder: string, path: string, uri: string): string {
  const target = join(folder, path);
  if (target.startsWith(folder + sep) && !path.split("/").some((part) => part === "" || part.startsWith("."))) {
    return target;
  }
  throw new Failure("InvalidSpec", `${uri} has a file whose name leads elsewhere or is hidden; rename it`);
}

async function fetchFiles(entries: readonly Entry[], folder: string, uri: string): Promise<void> {
  const queue = entries.map((entry) => ({ entry, target: inside(folder, entry.path, uri) }));
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await download(next.entry, next.target);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

const nameOf = (uri: string) => uri.split("/").at(-1) ?? "file";

/** Network failures before the first byte, in the words of a user. */
function unreachable(uri: string, cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const code = systemCode(cause) ?? (cause instanceof Error ? cause.name : "unknown");
  return new Failure("StoreUnavailable", `${uri} cannot be reached (${code}); check endpoint and the network`, {
    cause,
  });
}

/**
 * The local path of what is at `uri`: a file of the same name, or a folder. What is there already, of the same version,
 * is taken. Throws Failure: InputMissing, AccessDenied, StoreUnavailable, DigestMismatch, OutputNotWritable, InvalidSpec.
 */
export async function cached(uri: string, access: Access, scratch = tmpdir()): Promise<string> {
  const { entries, close } = await entriesOf(uri, access).catch((cause: unknown) => {
    throw unreachable(uri, cause);
  });
  try {
    const versions = entries.map(({ path, version }) => [path, version]);
    const key = createHash("sha256")
      .update(JSON.stringify([uri, access.endpoint, versions]))
      .digest("hex");
    const folder = join(scratch, "modelwright-inputs", key.slice(0, 32));
    const [first] = entries;
    const single = entries.length === 1 && first?.path === "" ? first : undefined;
    const local = single === undefined ? join(folder, "files") : join(folder, nameOf(uri));
    if (await exists(local)) return local;
    if (single !== undefined) {
      await download(single, local);
      return local;
    }
    const staging = join(folder, "staging");
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true });
    await fetchFiles(entries, staging, uri);
    await mkdir(dirname(local), { recursive: true });
    await rename(staging, local);
    return local;
  } finally {
    close();
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
