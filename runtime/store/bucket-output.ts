/** An artefact that goes to an object store: made in a folder here, whose states and candidates are kept there, too. */
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, posix, relative, sep } from "node:path";
import { MANIFEST_FILE } from "../../crds/contract/names.ts";
import type { RunOutput } from "../../crds/contract/run.ts";
import { Failure } from "../failure.ts";
import type { Artefact } from "./artefact.ts";
import { findFinished } from "./artefact-writer.ts";
import { Claimed, isClaim } from "./claim.ts";
import { listFiles } from "./files.ts";
import type { Hold, Mirror } from "./mirror.ts";
import type { Output } from "./output.ts";
import { cached } from "./remote/cache.ts";
import { download } from "./remote/download.ts";
import { ObjectStore, locationOf } from "./remote/s3.ts";

/** Tries of one write, when others write the same object. */
const TRIES = 5;

export class BucketOutput implements Output, Mirror {
  readonly uri: string;
  readonly folder: string;
  readonly #output: RunOutput;
  readonly #store: ObjectStore;
  readonly #key: string;
  #claimed: Claimed | undefined;

  private constructor(output: RunOutput, store: ObjectStore, folder: string) {
    this.uri = output.uri;
    this.folder = folder;
    this.#output = output;
    this.#store = store;
    this.#key = locationOf(output.uri).key;
  }

  /** Throws Failure: AccessDenied, InputMissing. */
  static async open(output: RunOutput): Promise<BucketOutput> {
    const store = await ObjectStore.open(output.uri, output);
    const scratch = await mkdtemp(join(tmpdir(), "modelwright-output-"));
    return new BucketOutput(output, store, join(scratch, basename(output.uri)));
  }

  get mirror(): Mirror {
    return this;
  }

  async finished(specHash: string): Promise<Artefact | undefined> {
    const manifest = await this.#store.read(this.#manifestKey);
    if (manifest === undefined) {
      const foreign = await this.#store.list(`${this.#key}/`);
      if (foreign.length === 0) return undefined;
      throw new Failure(
        "OutputNotWritable",
        `${this.uri} holds files that are no artefact; remove them, or choose another output.uri`,
      );
    }
    if (isClaim(manifest.text)) return undefined;
    return findFinished(await cached(this.uri, this.#output), specHash, this.uri);
  }

  async take(): Promise<Hold> {
    const claimed = await Claimed.take(this.#store, this.#manifestKey, this.uri);
    this.#claimed = claimed;
    // The claim stays: until there is a manifest, it says that the artefact is not finished.
    return { check: () => claimed.check(), release: () => Promise.resolve(), mirror: this };
  }

  async close(): Promise<void> {
    this.#store.close();
    await rm(dirname(this.folder), { recursive: true, force: true });
  }

  async bring(folder: string): Promise<void> {
    const key = this.#keyOf(folder);
    if ((await this.#store.list(`${key}/`)).length === 0) return;
    for (const entry of await this.#store.entries(key)) {
      const target = join(folder, entry.path);
      if (!target.startsWith(folder + sep))
        throw new Failure("InvalidSpec", `${entry.shownAs} leads elsewhere; remove it`);
      await download(entry, target);
    }
  }

  async keep(path: string): Promise<void> {
    const key = this.#keyOf(path);
    if ((await stat(path)).isFile()) return this.#write(key, path);
    const files = await listFiles(path);
    for (const file of files) await this.#write(`${key}/${file}`, join(path, file));
    await this.#removeAllBut(key, files);
  }

  async drop(path: string): Promise<void> {
    const key = this.#keyOf(path);
    await this.#store.remove(key);
    await this.#removeAllBut(key, []);
  }

  async publish(dir: string): Promise<void> {
    const files = (await listFiles(dir)).filter((file) => file !== MANIFEST_FILE);
    for (const file of files) await this.#write(`${this.#key}/${file}`, join(dir, file));
    await this.#removeAllBut(this.#key, [...files, MANIFEST_FILE]);
    await this.#held.finish(await readFile(join(dir, MANIFEST_FILE), "utf8"));
  }

  get #manifestKey(): string {
    return `${this.#key}/${MANIFEST_FILE}`;
  }

  get #held(): Claimed {
    if (this.#claimed === undefined) throw new TypeError("the output is written to before it is taken");
    return this.#claimed;
  }

  #keyOf(path: string): string {
    return posix.join(posix.dirname(this.#key), relative(dirname(this.folder), path));
  }

  /**
   * What must not have changed is seen before the claim is checked: a process that was overtaken meanwhile replaces
   * nothing that its successor has written.
   */
  async #write(key: string, path: string): Promise<void> {
    const body = await readFile(path);
    for (let tries = 0; tries < TRIES; tries += 1) {
      const condition = await this.#store.condition(key);
      await this.#held.check();
      if (await this.#store.write(key, body, condition)) return;
    }
    throw new Failure("StoreUnavailable", `${this.uri}: something else writes there all the time; stop it`);
  }

  async #removeAllBut(key: string, kept: readonly string[]): Promise<void> {
    const found = await this.#store.list(`${key}/`);
    for (const { name } of found) if (!kept.includes(name)) await this.#store.remove(`${key}/${name}`);
  }
}
