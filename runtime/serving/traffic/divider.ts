/** Which request goes where: exact shares by error diffusion, never by chance. */

export interface Shares {
  /** Percent of all requests that the other version answers. */
  readonly weight: number;
  /** Percent of the others that are copied to it. */
  readonly shadow: number;
}

export type Way = "Divert" | "Shadow" | "Keep";

const WHOLE = 100;

/**
 * Carries what is left of each share on to the next request, so that of any n requests the share of n is diverted, give or take one.
 * `start`, from 0 to 1, differs from pod to pod: many pods with few requests each must not all begin with the same choice.
 */
export class Divider {
  #diverted: number;
  #copied: number;

  constructor(start: number) {
    this.#diverted = start * WHOLE;
    this.#copied = start * WHOLE;
  }

  next({ weight, shadow }: Shares): Way {
    this.#diverted += weight;
    if (this.#diverted >= WHOLE) {
      this.#diverted -= WHOLE;
      return "Divert";
    }
    this.#copied += shadow;
    if (this.#copied < WHOLE) return "Keep";
    this.#copied -= WHOLE;
    return "Shadow";
  }
}

/** A number from 0 to 1 for the name of a pod: FNV-1a, then spread. */
export function startOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  // Names differ in their last letters only, which FNV leaves in the low bits.
  return (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0) / 2 ** 32;
}
