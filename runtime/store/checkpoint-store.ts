/**
 * Saved states of a run, in a hidden folder beside its artefact. A file has a magic number, the length of its header,
 * the header as JSON, the tensors one after the other, and the sha256 of all that; it becomes visible by a rename.
 */
import { createHash, randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { Failure, systemCode } from "../failure.ts";
import { Fence } from "./fence.ts";
import { sync } from "./files.ts";
import type { Hold, Mirror } from "./mirror.ts";

export interface StoredCheckpoint<Header> {
  header: Header;
  tensors: Float32Array[];
}

const MAGIC = Buffer.from("MWCHECK1");
const SHA256_BYTES = 32;
const HEADER_LIMIT = 16 * 1024 * 1024;
const PARTIAL = ".partial";

const NAME = /^step-[0-9]{16}$/;
const nameOf = (step: number) => `step-${String(step).padStart(16, "0")}`;

const Envelope = z.strictObject({
  /** Values in each tensor. */
  lengths: z.array(z.int().min(0)),
  header: z.unknown(),
});

/** The folder of the saved states of the run whose artefact goes to `dir`. */
export function checkpointFolder(dir: string): string {
  return join(dirname(dir), `.${basename(dir)}.checkpoints`);
}

/** Removes all saved states of the run whose artefact is in `dir`. */
export async function removeCheckpoints(dir: string, mirror?: Mirror): Promise<void> {
  await mirror?.drop(checkpointFolder(dir));
  await rm(checkpointFolder(dir), { recursive: true, force: true });
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

async function writeState(path: string, header: unknown, tensors: readonly Float32Array[]): Promise<void> {
  const json = Buffer.from(JSON.stringify({ lengths: tensors.map(({ length }) => length), header }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const hash = createHash("sha256");
  const handle = await open(path, "wx");
  try {
    for (const part of [MAGIC, length, json, ...tensors.map(bytesOf)]) {
      hash.update(part);
      await writeAll(handle, part);
    }
    await writeAll(handle, hash.digest());
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done)).bytesWritten;
}

/** Reads parts of a file in order, and hashes them. */
class Reader {
  readonly #handle: FileHandle;
  readonly #hash = createHash("sha256");

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async fill<T extends Uint8Array>(bytes: T): Promise<T> {
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done);
      if (bytesRead === 0) throw new RangeError("it is too short");
      done += bytesRead;
    }
    this.#hash.update(bytes);
    return bytes;
  }

  sha256(): Buffer {
    return this.#hash.copy().digest();
  }
}

/** Throws when the file is not, to the byte, what was written. */
async function readState(path: string): Promise<StoredCheckpoint<unknown>> {
  const { size } = await stat(path);
  const handle = await open(path, "r");
  try {
    const reader = new Reader(handle);
    if (!(await reader.fill(Buffer.alloc(MAGIC.length))).equals(MAGIC)) throw new TypeError("it is no saved state");
    const headerBytes = (await reader.fill(Buffer.alloc(4))).readUInt32LE();
    if (headerBytes > HEADER_LIMIT) throw new RangeError("its header is too long");
    const json = (await reader.fill(Buffer.alloc(headerBytes))).toString("utf8");
    const { lengths, header } = Envelope.parse(JSON.parse(json));
    const values = lengths.reduce((sum, length) => sum + length, 0);
    if (size !== MAGIC.length + 4 + headerBytes + 4 * values + SHA256_BYTES) throw new RangeError("its size is wrong");
    const tensors: Float32Array[] = [];
    for (const length of lengths) {
      const tensor = new Float32Array(length);
      await reader.fill(bytesOf(tensor));
      tensors.push(tensor);
    }
    const sha256 = reader.sha256();
    if (!(await reader.fill(Buffer.alloc(SHA256_BYTES))).equals(sha256)) throw new TypeError("its sha256 is wrong");
    return { header, tensors };
  } finally {
    await handle.close();
  }
}

/** Only the process of a run that began last can save: another may not remove what that one relies on. */
export class CheckpointStore {
  readonly #folder: string;
  readonly #fence: Hold;

  private constructor(folder: string, fence: Hold) {
    this.#folder = folder;
    this.#fence = fence;
  }

  /**
   * Opens the saved states of the run whose artefact goes to `dir`. `shownAs`: its URI, for messages.
   * `fence`: taken when the run began; default: now. Throws Failure OutputNotWritable.
   */
  static async open(dir: string, shownAs = dir, fence?: Hold): Promise<CheckpointStore> {
    const folder = checkpointFolder(dir);
    const store = new CheckpointStore(folder, fence ?? (await Fence.take(dir, shownAs)));
    try {
      await mkdir(folder, { recursive: true });
      await store.#fence.mirror?.bring(folder);
      const entries = await readdir(folder);
      const partial = entries.filter((entry) => entry.endsWith(PARTIAL));
      await Promise.all(partial.map((entry) => rm(join(folder, entry), { force: true })));
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      throw new Failure(
        "OutputNotWritable",
        `Cannot save states beside ${shownAs} (${systemCode(cause) ?? "unknown"}); check the volume's space and permissions`,
        { cause },
      );
    }
    return store;
  }

  /**
   * The newest saved state that is whole and from which `accept` makes something. Newer ones are removed, and
   * `onPassedOver` hears why: `accept` throws an Error that says it.
   */
  async newest<T>(
    accept: (state: StoredCheckpoint<unknown>) => T,
    onPassedOver: (step: number, why: string) => void,
  ): Promise<T | undefined> {
    for (const name of await this.#names()) {
      try {
        return accept(await readState(join(this.#folder, name)));
      } catch (error) {
        onPassedOver(Number(name.slice("step-".length)), error instanceof Error ? error.message : String(error));
        await this.#remove(name);
      }
    }
    return undefined;
  }

  /**
   * Saves a state and keeps the `keep` newest ones. One of the same step is replaced.
   * Throws Failure Superseded when another process has taken over, and errors of the file system.
   */
  async save(step: number, header: unknown, tensors: readonly Float32Array[], keep: number): Promise<void> {
    await this.#fence.check();
    const path = join(this.#folder, nameOf(step));
    const partial = `${path}.${randomBytes(6).toString("hex")}${PARTIAL}`;
    try {
      await writeState(partial, header, tensors);
      await this.#fence.check();
      await rename(partial, path);
      await sync(this.#folder);
      await this.#fence.mirror?.keep(path);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
    const old = (await this.#names()).slice(keep);
    await Promise.all(old.map((name) => this.#remove(name)));
  }

  async #remove(name: string): Promise<void> {
    const path = join(this.#folder, name);
    await rm(path, { force: true });
    await this.#fence.mirror?.drop(path);
  }

  /** Newest first. */
  async #names(): Promise<string[]> {
    const entries = await readdir(this.#folder);
    return entries.filter((entry) => NAME.test(entry)).toSorted((a, b) => (a < b ? 1 : -1));
  }
}
