/** Writes an artefact so that it is either there as a whole or not at all. */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ArtefactManifest, DOCUMENTS_FOLDER } from "../../crds/contract/artefact.ts";
import { MANIFEST_FILE } from "../../crds/contract/names.ts";
import { writeDocuments } from "../documents/documents.ts";
import { Failure, systemCode } from "../failure.ts";
import { type Artefact, openArtefact, readManifest } from "./artefact.ts";
import { Fence } from "./fence.ts";
import { type FileRecord, fileRecord, fileRecords, sync } from "./files.ts";
import type { Hold } from "./mirror.ts";

/** What the writer of the files knows of the artefact; the list of files is made here. */
export type ArtefactDescription = Omit<ArtefactManifest, "schemaVersion" | "files">;

const stagingPrefix = (dir: string) => `.${basename(dir)}.`;
const STAGING_SUFFIX = ".partial";

/** Removes what crashed runs left beside `dir`. */
async function removeLeftovers(dir: string): Promise<void> {
  const prefix = stagingPrefix(dir);
  const entries = await readdir(dirname(dir));
  const leftovers = entries.filter((entry) => entry.startsWith(prefix) && entry.endsWith(STAGING_SUFFIX));
  await Promise.all(leftovers.map((entry) => rm(join(dirname(dir), entry), { recursive: true, force: true })));
}

/** The complete artefact of the same specification in `dir`, if a former attempt finished it. */
export async function findFinished(dir: string, specHash: string, shownAs = dir): Promise<Artefact | undefined> {
  const manifest = await readManifest(dir, shownAs);
  if (manifest === undefined) return undefined;
  if (manifest.lineage.specHash !== specHash) {
    throw new Failure(
      "OutputNotWritable",
      `${shownAs} holds the artefact of another specification; remove it, or choose another output.uri`,
    );
  }
  return openArtefact(dir, { shownAs });
}

function notWritable(shownAs: string, cause: unknown): Failure {
  const code = systemCode(cause);
  const why = code === "ENOSPC" ? "the volume is full" : code === undefined ? "it failed" : `it failed with ${code}`;
  return new Failure("OutputNotWritable", `Cannot write ${shownAs}: ${why}; check the volume's space and permissions`, {
    cause,
  });
}

interface WriteOptions {
  /** The artefact's URI, for messages. */
  shownAs?: string;
  /** Taken when the run began; default: now. */
  fence?: Hold;
}

/**
 * Writes the artefact `dir`: `writeFiles` fills a hidden folder on the same volume and describes the result, the
 * manifest comes last, and a rename makes it visible: the commit point. A complete artefact that another attempt
 * finished meanwhile stays as it is and is returned. In an object store the manifest that replaces the writer's claim
 * is the commit point. Throws Failure: Superseded when a process that began later has
 * taken over, OutputNotWritable; and whatever `writeFiles` throws.
 */
export async function writeArtefact(
  dir: string,
  writeFiles: (staging: string) => Promise<ArtefactDescription>,
  { shownAs = dir, fence: held }: WriteOptions = {},
): Promise<Artefact> {
  const fence: Hold = held ?? (await Fence.take(dir, shownAs));
  const staging = join(dirname(dir), `${stagingPrefix(dir)}${randomBytes(6).toString("hex")}${STAGING_SUFFIX}`);
  try {
    await fence.check();
    await mkdir(dirname(dir), { recursive: true });
    await removeLeftovers(dir);
    await mkdir(staging);
    const description = await writeFiles(staging);
    await seal(staging, description);
    await fence.check();
    const finished = await commit(staging, dir, description.lineage.specHash, shownAs);
    await fence.mirror?.publish(dir);
    return finished ?? (await openArtefact(dir, { shownAs }));
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    if (error instanceof Failure) throw error;
    // Whoever took over has removed the files of this process.
    await fence.check();
    if (systemCode(error) !== undefined) throw notWritable(shownAs, error);
    throw error;
  } finally {
    await fence.release();
  }
}

async function seal(staging: string, description: ArtefactDescription): Promise<void> {
  const sealed = (files: FileRecord[]) => ArtefactManifest.parse({ schemaVersion: 1, ...description, files });
  const files = await fileRecords(staging);
  for (const path of await writeDocuments(staging, sealed(files))) files.push(await fileRecord(staging, path));
  const manifest = sealed(files.sort((a, b) => (a.path < b.path ? -1 : 1)));
  for (const file of files) await sync(join(staging, file.path));
  await writeFile(join(staging, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, { flush: true });
  await sync(join(staging, DOCUMENTS_FOLDER));
  await sync(staging);
}

/** Makes the artefact visible; returns the one that was there before, if that is complete. */
async function commit(staging: string, dir: string, specHash: string, shownAs: string): Promise<Artefact | undefined> {
  const finished = await findFinished(dir, specHash, shownAs);
  if (finished !== undefined) {
    await rm(staging, { recursive: true, force: true });
    return finished;
  }
  // An empty folder may be in the way; one with foreign files is never touched.
  await rmdir(dir).catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return;
    throw new Failure(
      "OutputNotWritable",
      `${shownAs} holds files that are no artefact; remove them, or choose another output.uri`,
      { cause: error },
    );
  });
  try {
    await rename(staging, dir);
  } catch (error) {
    // Another process of this run was faster by a moment.
    const other = await findFinished(dir, specHash, shownAs);
    if (other === undefined) throw error;
    await rm(staging, { recursive: true, force: true });
    return other;
  }
  await sync(dirname(dir));
  return undefined;
}
