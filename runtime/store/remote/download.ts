/** Brings one remote file to this machine: in a stream, going on where a connection broke, and checked. */
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure, systemCode } from "../../failure.ts";
import { sha256OfFile } from "../files.ts";

/** A part of a remote file. */
export interface Part {
  body: Readable;
  /** Where it begins: 0, or what was asked for. */
  offset: number;
  /** Bytes of the whole file, where the server says so. */
  size?: number | undefined;
  /** Changes when the file does. */
  version?: string | undefined;
}

export interface RemoteFile {
  /** Its URI, for messages. */
  shownAs: string;
  /** Opens it from `offset` on, if it is still of `version`. Throws Failure where another try cannot help. */
  open(offset: number, version: string | undefined): Promise<Part>;
  /** Hex, where it is known. */
  sha256?: string | undefined;
}

export interface Patience {
  /** Tries without a byte of progress. */
  tries: number;
  /** Milliseconds before the second try; doubled before each further one. */
  wait: number;
}

const PATIENCE: Patience = { tries: 5, wait: 500 };

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** There must be room for the rest. Throws Failure OutputNotWritable. */
async function checkSpace(folder: string, rest: number, shownAs: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (rest <= bavail * bsize) return;
  throw new Failure(
    "OutputNotWritable",
    `${shownAs} has ${rest} bytes more than this pod has space for; give it more ephemeral storage, or use a volume`,
  );
}

/** One try; returns true when the file is complete. */
async function attempt(file: RemoteFile, partial: string, known: { version?: string | undefined }): Promise<boolean> {
  const done = await sizeOf(partial);
  const part = await file.open(done, known.version);
  if (part.offset !== 0 && part.offset !== done) throw new RangeError("the server sent another part");
  known.version = part.version;
  if (part.size !== undefined) await checkSpace(dirname(partial), part.size - part.offset, file.shownAs);
  const handle = await open(partial, part.offset === 0 ? "w" : "a");
  try {
    // Each piece is written before the next is read, so all that came is there when the connection breaks.
    for await (const piece of part.body as AsyncIterable<Uint8Array>) await handle.writeFile(piece);
  } finally {
    await handle.close();
    part.body.destroy();
  }
  return part.size === undefined || (await sizeOf(partial)) === part.size;
}

async function fetchAll(file: RemoteFile, partial: string, { tries, wait }: Patience): Promise<void> {
  const known = {};
  for (let failures = 0, before = 0; ;) {
    const error = await attempt(file, partial, known).then(
      (complete) => (complete ? undefined : new Error("the connection ended early")),
      (cause: unknown) => cause,
    );
    if (error === undefined) return;
    if (error instanceof Failure) throw error;
    const done = await sizeOf(partial);
    failures = done > before ? 1 : failures + 1;
    before = done;
    if (failures >= tries) {
      throw new Failure(
        "StoreUnavailable",
        `${file.shownAs} cannot be read (${systemCode(error) ?? "the connection broke"}); check the network and endpoint`,
        { cause: error },
      );
    }
    await sleep(wait * 2 ** (failures - 1));
  }
}

/**
 * Downloads to `target`, which appears as a whole. Throws Failure: StoreUnavailable after several tries without
 * progress, DigestMismatch, OutputNotWritable where there is no space, and what `file.open` throws.
 */
export async function download(file: RemoteFile, target: string, patience = PATIENCE): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const partial = `${target}.${randomBytes(6).toString("hex")}.partial`;
  try {
    await fetchAll(file, partial, patience);
    if (file.sha256 !== undefined && (await sha256OfFile(partial)) !== file.sha256) {
      throw new Failure("DigestMismatch", `${file.shownAs} is not what its sha256 says; upload it again`);
    }
    await rename(partial, target);
  } finally {
    await rm(partial, { force: true });
  }
}
