/**
 * Who may write an artefact in an object store. While it is written, the claim of its writer stands in the manifest's
 * place: a reader sees that it is not finished, and the manifest replaces that very claim or nothing.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import { Failure } from "../failure.ts";
import type { Condition, ObjectStore } from "./remote/s3.ts";

const Claim = z.strictObject({ unfinished: z.literal(true), writer: z.string() });

/** Tries, when others write at the same moment. */
const TRIES = 10;

/** Does the text of a manifest say that the artefact is still being written? */
export function isClaim(manifest: string): boolean {
  try {
    return Claim.safeParse(JSON.parse(manifest)).success;
  } catch {
    return false;
  }
}

export class Claimed {
  readonly #store: ObjectStore;
  readonly #key: string;
  readonly #shownAs: string;
  readonly #text: string;

  private constructor(store: ObjectStore, key: string, shownAs: string) {
    this.#store = store;
    this.#key = key;
    this.#shownAs = shownAs;
    this.#text = JSON.stringify({ unfinished: true, writer: randomBytes(12).toString("hex") });
  }

  /**
   * Takes over from all that write the artefact whose manifest is the object `key`. `shownAs`: its URI, for messages.
   * Throws Failure: Superseded when others come at the same moment or have finished it, and as ObjectStore.
   */
  static async take(store: ObjectStore, key: string, shownAs: string): Promise<Claimed> {
    const claimed = new Claimed(store, key, shownAs);
    for (let tries = 0; tries < TRIES; tries += 1) {
      const found = await store.read(key);
      if (found !== undefined && !isClaim(found.text)) break;
      const condition: Condition = found === undefined ? "Absent" : { version: found.version };
      await store.write(key, claimed.#text, condition);
      // An answer that was lost looks like a write of somebody else: what is there now tells.
      if ((await claimed.#held()) !== undefined) return claimed;
    }
    throw claimed.#superseded();
  }

  async check(): Promise<void> {
    if ((await this.#held()) === undefined) throw this.#superseded();
  }

  /** Puts the manifest in the claim's place: the commit point. Throws Failure Superseded. */
  async finish(manifest: string): Promise<void> {
    const version = await this.#held();
    if (version === undefined) throw this.#superseded();
    if (await this.#store.write(this.#key, manifest, { version })) return;
    if ((await this.#store.read(this.#key))?.text !== manifest) throw this.#superseded();
  }

  /** Version of the claim, while it stands. */
  async #held(): Promise<string | undefined> {
    const found = await this.#store.read(this.#key);
    return found?.text === this.#text ? found.version : undefined;
  }

  #superseded(): Failure {
    return new Failure("Superseded", `Another pod has taken over the run of ${this.#shownAs}; this one stops`);
  }
}
