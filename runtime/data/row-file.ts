/**
 * Rows of float32 in a scratch file: examples that are larger than memory. Any row can be read, so an order drawn by the
 * seed works as in memory; what was read lately stays in the system's page cache.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Bytes that are gathered before they are written. */
const CHUNK = 4 * 1024 * 1024;

export class RowFile {
  readonly #descriptor: number;
  readonly #size: number;
  /** Numbers of the rows; without it, all in order. */
  readonly #indices: Uint32Array | undefined;

  /** `size`: numbers in a row. */
  constructor(descriptor: number, size: number, indices?: Uint32Array) {
    this.#descriptor = descriptor;
    this.#size = size;
    this.#indices = indices;
  }

  /** The rows with these numbers, in this order; the file is shared. */
  take(indices: Uint32Array): RowFile {
    const own = this.#indices;
    return new RowFile(this.#descriptor, this.#size, own === undefined ? indices : indices.map((i) => own[i] ?? 0));
  }

  /** Reads row `index` into `target` at `offset`. Throws RangeError when there is none. */
  read(index: number, target: Float32Array, offset: number): void {
    const row = this.#indices?.[index] ?? index;
    const bytes = new Uint8Array(target.buffer, target.byteOffset + 4 * offset, 4 * this.#size);
    for (let done = 0; done < bytes.length;) {
      const read = readSync(this.#descriptor, bytes, done, bytes.length - done, 4 * this.#size * row + done);
      if (read === 0) throw new RangeError(`there is no row ${row}`);
      done += read;
    }
  }
}

/** Writes numbers, and gives them back as rows. The file has no name: it is gone when this process ends. */
export class RowFileWriter {
  readonly #descriptor: number;
  #chunk = new Float32Array(CHUNK / 4);
  #filled = 0;

  /** `folder`: where there is space; default: the system's folder for temporary files. */
  constructor(folder = tmpdir()) {
    const parent = mkdtempSync(join(folder, "modelwright-rows-"));
    this.#descriptor = openSync(join(parent, "rows"), "wx+", 0o600);
    rmSync(parent, { recursive: true });
  }

  push(values: Float32Array): void {
    for (let done = 0; done < values.length;) {
      const part = values.subarray(done, done + this.#chunk.length - this.#filled);
      this.#chunk.set(part, this.#filled);
      this.#filled += part.length;
      done += part.length;
      if (this.#filled === this.#chunk.length) this.#flush();
    }
  }

  /** `size`: numbers in a row. */
  finish(size: number): RowFile {
    this.#flush();
    return new RowFile(this.#descriptor, size);
  }

  /** Gives the space back; there are no rows then. */
  discard(): void {
    closeSync(this.#descriptor);
  }

  #flush(): void {
    const bytes = new Uint8Array(this.#chunk.buffer, 0, 4 * this.#filled);
    for (let done = 0; done < bytes.length;) done += writeSync(this.#descriptor, bytes, done);
    this.#filled = 0;
  }
}
