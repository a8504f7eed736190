/** Reads a model's folder and checks every byte of it. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ArtefactManifest, artefactBytes, artefactDigest } from "../../crds/contract/artefact.ts";
import { MANIFEST_FILE } from "../../crds/contract/names.ts";
import { fieldErrors } from "../../crds/kinds.ts";
import { Failure, systemCode } from "../failure.ts";
import { isClaim } from "./claim.ts";
import { type FileRecord, fileRecord, fileRecords, filesDigest } from "./files.ts";

export interface Artefact {
  /** The local folder. */
  dir: string;
  /** Absent for a folder that was not written by Modelwright. */
  manifest?: ArtefactManifest;
  digest: string;
  files: FileRecord[];
  /** Bytes of all files but the manifest. */
  bytes: number;
}

const MANIFEST_LIMIT = 4 * 1024 * 1024;

/** The manifest of the folder `dir`; undefined when it has none. Throws Failure DigestMismatch when it is damaged. */
export async function readManifest(dir: string, shownAs = dir): Promise<ArtefactManifest | undefined> {
  const path = join(dir, MANIFEST_FILE);
  try {
    if ((await stat(path)).size > MANIFEST_LIMIT) throw new RangeError(`larger than ${MANIFEST_LIMIT} bytes`);
    return parseManifest(await readFile(path, "utf8"), shownAs);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    if (systemCode(cause) === "ENOENT" || systemCode(cause) === "ENOTDIR") return undefined;
    throw damaged(shownAs, cause);
  }
}

/** The manifest of the artefact at `shownAs`. Throws Failure: InputMissing while it is written, DigestMismatch. */
export function parseManifest(text: string, shownAs: string): ArtefactManifest {
  if (isClaim(text)) {
    throw new Failure("InputMissing", `${shownAs} is not finished; wait for the job that writes it`);
  }
  try {
    const parsed = ArtefactManifest.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data;
    const [first] = fieldErrors(parsed.error);
    throw new TypeError(first === undefined ? "not of the expected form" : `${first.field}: ${first.message}`);
  } catch (cause) {
    throw damaged(shownAs, cause);
  }
}

function damaged(shownAs: string, cause: unknown): Failure {
  const message = cause instanceof SyntaxError ? "is no JSON" : cause instanceof Error ? cause.message : String(cause);
  return new Failure("DigestMismatch", `${shownAs}/${MANIFEST_FILE} is damaged: ${message}; build the model again`, {
    cause,
  });
}

async function verify(dir: string, expected: FileRecord, shownAs: string): Promise<void> {
  const name = `${shownAs}/${expected.path}`;
  const found = await fileRecord(dir, expected.path).catch((cause: unknown) => {
    throw new Failure("DigestMismatch", `${name} is missing or unreadable; build the model again`, { cause });
  });
  if (found.bytes !== expected.bytes || found.sha256 !== expected.sha256) {
    throw new Failure("DigestMismatch", `${name} is not the file that was written; build the model again`);
  }
}

/**
 * Opens the model in the folder `dir`: reads its manifest and checks size and sha256 of every file.
 * A folder without a manifest is accepted; its digest is that of its files.
 * `digest`: what it must be. `shownAs`: its URI, for messages.
 * Throws Failure: InputMissing, DigestMismatch.
 */
export async function openArtefact(
  dir: string,
  { digest, shownAs = dir }: { digest?: string | undefined; shownAs?: string } = {},
): Promise<Artefact> {
  const info = await stat(dir).catch(() => undefined);
  if (info?.isDirectory() !== true) {
    throw new Failure("InputMissing", `${shownAs} is no folder with a model; correct the URI`);
  }
  const artefact = await openChecked(dir, shownAs);
  if (digest !== undefined && artefact.digest !== digest) {
    throw new Failure(
      "DigestMismatch",
      `${shownAs} has digest ${artefact.digest}, not ${digest}; restore the model or refer to the new digest`,
    );
  }
  return artefact;
}

async function openChecked(dir: string, shownAs: string): Promise<Artefact> {
  const manifest = await readManifest(dir, shownAs);
  if (manifest === undefined) {
    const files = await fileRecords(dir);
    if (files.length === 0) {
      throw new Failure("InputMissing", `${shownAs} has no files; correct the URI, or wait for the job that writes it`);
    }
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    return { dir, digest: filesDigest(files), files, bytes };
  }
  for (const file of manifest.files) await verify(dir, file, shownAs);
  return { dir, manifest, digest: artefactDigest(manifest), files: manifest.files, bytes: artefactBytes(manifest) };
}
