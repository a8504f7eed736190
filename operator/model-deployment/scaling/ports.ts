/** A port of the activators for each deployment that may have no pods. */
import { createHash } from "node:crypto";

export interface PortRange {
  readonly first: number;
  readonly count: number;
}

export class Ports {
  readonly #range: PortRange;
  /** Given away, and not yet seen in a slice. */
  readonly #given = new Map<string, number>();

  constructor(range: PortRange) {
    this.#range = range;
  }

  /** `taken`: ports in slices, and whose they are. Undefined where none is left. */
  allocate(uid: string, taken: ReadonlyMap<number, string>): number | undefined {
    const given = this.#given.get(uid);
    if (given !== undefined && (taken.get(given) ?? uid) === uid) return given;
    for (const [owner, port] of this.#given) if (taken.get(port) === owner) this.#given.delete(owner);
    const promised = new Set(this.#given.values());
    const { first, count } = this.#range;
    // The same deployment finds the same port again, where it can.
    const start = createHash("sha256").update(uid).digest().readUInt32BE(0) % count;
    for (let step = 0; step < count; step++) {
      const port = first + ((start + step) % count);
      const owner = taken.get(port);
      if (owner !== uid && (owner !== undefined || promised.has(port))) continue;
      this.#given.set(uid, port);
      return port;
    }
    return undefined;
  }
}
