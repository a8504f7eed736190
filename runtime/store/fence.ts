/**
 * Of several processes of one run, only the one that began last may write: a node that is cut off keeps its pod alive
 * while another takes over. Numbers only grow; they are files beside the run's artefact.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Failure, systemCode } from "../failure.ts";

const SUFFIX = ".writer";

export class Fence {
  readonly #folder: string;
  readonly #prefix: string;
  readonly #shownAs: string;
  readonly #number: number;
  /** Tells this process from a later one that was given the same number, after all files had gone. */
  readonly #token: string;

  private constructor(dir: string, shownAs: string, number: number, token: string) {
    this.#folder = dirname(dir);
    this.#prefix = prefixOf(dir);
    this.#shownAs = shownAs;
    this.#number = number;
    this.#token = token;
  }

  /**
   * Takes over from all processes that write the artefact `dir`. `shownAs`: its URI, for messages.
   * Throws Failure OutputNotWritable.
   */
  static async take(dir: string, shownAs = dir): Promise<Fence> {
    const folder = dirname(dir);
    const token = randomBytes(12).toString("hex");
    try {
      await mkdir(folder, { recursive: true });
      const numbers = await numbersIn(folder, prefixOf(dir));
      const number = await claim(folder, prefixOf(dir), Math.max(0, ...numbers) + 1, token);
      const fence = new Fence(dir, shownAs, number, token);
      await Promise.all(numbers.map((older) => rm(fence.#path(older), { force: true })));
      return fence;
    } catch (cause) {
      throw new Failure(
        "OutputNotWritable",
        `Cannot write beside ${shownAs} (${systemCode(cause) ?? "unknown"}); check the volume's space and permissions`,
        { cause },
      );
    }
  }

  /** Throws Failure Superseded when another process has taken over. */
  async check(): Promise<void> {
    const numbers = await numbersIn(this.#folder, this.#prefix).catch(missing(() => []));
    const held = await readFile(this.#path(this.#number), "utf8").catch(missing(() => undefined));
    if (held === this.#token && numbers.every((number) => number <= this.#number)) return;
    throw new Failure("Superseded", `Another pod has taken over the run of ${this.#shownAs}; this one stops`);
  }

  /** There is nothing more to write. */
  async release(): Promise<void> {
    const held = await readFile(this.#path(this.#number), "utf8").catch(missing(() => undefined));
    if (held === this.#token) await rm(this.#path(this.#number), { force: true });
  }

  #path(number: number): string {
    return join(this.#folder, `${this.#prefix}${number}${SUFFIX}`);
  }
}

function prefixOf(dir: string): string {
  return `.${basename(dir)}.`;
}

async function numbersIn(folder: string, prefix: string): Promise<number[]> {
  const entries = await readdir(folder);
  return entries
    .filter((entry) => entry.startsWith(prefix) && entry.endsWith(SUFFIX))
    .map((entry) => Number(entry.slice(prefix.length, -SUFFIX.length)))
    .filter((number) => Number.isSafeInteger(number));
}

/** The first free number from `number` on; whoever comes at the same moment gets another. */
async function claim(folder: string, prefix: string, number: number, token: string): Promise<number> {
  try {
    await writeFile(join(folder, `${prefix}${number}${SUFFIX}`), token, { flag: "wx", flush: true });
    return number;
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    return claim(folder, prefix, number + 1, token);
  }
}

function missing<T>(instead: () => T): (error: unknown) => T {
  return (error) => {
    if (systemCode(error) === "ENOENT") return instead();
    throw error;
  };
}
