/**
 * Candidates that are finished, in a hidden folder beside the artefact: each has its files and what was measured of them.
 * A pod that takes over goes on after them. A candidate becomes visible by a rename.
 */
import { randomBytes } from "node:crypto";
import { cp, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { Measurement } from "../../crds/optimization-job.ts";
import { Failure, systemCode } from "../failure.ts";
import { fileRecords, filesDigest, sync } from "../store/files.ts";
import type { Hold, Mirror } from "../store/mirror.ts";

const Finished = z.strictObject({
  /** What was measured, side by side; absent for one that could not be made, where `failure` says why. */
  before: Measurement.optional(),
  after: Measurement.optional(),
  failure: z.string().optional(),
  /** Time that making and measuring it took. */
  seconds: z.number().min(0),
});

export type Finished = z.output<typeof Finished>;

/** With the digest of the files: what a crash left half written is made again. */
const Record = z.strictObject({ finished: Finished, digest: z.string() });

const RESULT = "candidate.json";
const FILES = "files";
const PARTIAL = ".partial";

export class Workplace {
  readonly #folder: string;
  readonly #fence: Hold;
  readonly #finished: Map<string, Finished>;

  private constructor(folder: string, fence: Hold, finished: Map<string, Finished>) {
    this.#folder = folder;
    this.#fence = fence;
    this.#finished = finished;
  }

  /** Opens what former processes of the run, whose artefact goes to `dir`, have finished. Throws Failure OutputNotWritable. */
  static async open(dir: string, shownAs: string, fence: Hold): Promise<Workplace> {
    const folder = folderOf(dir);
    try {
      await mkdir(folder, { recursive: true });
      await fence.mirror?.bring(folder);
      const names = await readdir(folder);
      const partial = names.filter((name) => name.endsWith(PARTIAL));
      await Promise.all(partial.map((name) => rm(join(folder, name), { recursive: true, force: true })));
      const found = await Promise.all(
        names
          .filter((name) => !partial.includes(name))
          .map(async (name): Promise<[string, Finished | undefined]> => [name, await readResult(join(folder, name))]),
      );
      const finished = new Map(found.flatMap(([name, result]) => (result === undefined ? [] : [[name, result]])));
      return new Workplace(folder, fence, finished);
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      throw new Failure(
        "OutputNotWritable",
        `Cannot keep candidates beside ${shownAs} (${systemCode(cause) ?? "unknown"}); check the volume's space and permissions`,
        { cause },
      );
    }
  }

  /** What was finished under this name. */
  find(name: string): Finished | undefined {
    return this.#finished.get(name);
  }

  /** Seconds that went into all that is finished. */
  get seconds(): number {
    return [...this.#finished.values()].reduce((sum, { seconds }) => sum + seconds, 0);
  }

  get count(): number {
    return this.#finished.size;
  }

  /** Folder with the files of a finished candidate. */
  filesOf(name: string): string {
    return join(this.#folder, name, FILES);
  }

  /** Folder of the saved states of the training of a candidate. */
  trainingOf(name: string): string {
    return join(this.#folder, `${name}.training`);
  }

  /**
   * Keeps a candidate: `make` fills a folder with its files and says what was measured of them.
   * Throws Failure Superseded when another process has taken over.
   */
  async keep(name: string, make: (files: string) => Promise<Finished>): Promise<Finished> {
    const partial = join(this.#folder, `${name}.${randomBytes(6).toString("hex")}${PARTIAL}`);
    try {
      await mkdir(join(partial, FILES), { recursive: true });
      const files = join(partial, FILES);
      const finished = await make(files);
      const records = await fileRecords(files);
      for (const { path } of records) await sync(join(files, path));
      const record = { finished, digest: filesDigest(records) };
      await writeFile(join(partial, RESULT), JSON.stringify(record), { flush: true });
      await this.#fence.check();
      const place = join(this.#folder, name);
      await rm(place, { recursive: true, force: true });
      await rename(partial, place);
      await sync(this.#folder);
      await this.#fence.mirror?.keep(place);
      this.#finished.set(name, finished);
      return finished;
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }

  /** Copies the files of a candidate into the folder `to`. */
  async copy(name: string, to: string): Promise<void> {
    await cp(this.filesOf(name), to, { recursive: true });
  }
}

function folderOf(dir: string): string {
  return join(dirname(dir), `.${basename(dir)}.candidates`);
}

/** Undefined for what is no candidate, or damaged: it is made again. */
async function readResult(folder: string): Promise<Finished | undefined> {
  try {
    const { finished, digest } = Record.parse(JSON.parse(await readFile(join(folder, RESULT), "utf8")));
    return filesDigest(await fileRecords(join(folder, FILES))) === digest ? finished : undefined;
  } catch {
    return undefined;
  }
}

/** Removes all candidates of the run whose artefact is in `dir`. */
export async function removeCandidates(dir: string, mirror?: Mirror): Promise<void> {
  await mirror?.drop(folderOf(dir));
  await rm(folderOf(dir), { recursive: true, force: true });
}
