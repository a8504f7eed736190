/** By which a REST client says how long it waits. */
import type { CallContext } from "./calls.ts";
import { refuse } from "./request-error.ts";

export const TIMEOUT_HEADER = "Modelwright-Timeout-Ms";
export const MAX_TIMEOUT_MILLISECONDS = 3_600_000;

/** Throws 400. */
export function timeoutHeader({ header }: CallContext): number | undefined {
  const text = header(TIMEOUT_HEADER);
  if (text === undefined) return undefined;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > MAX_TIMEOUT_MILLISECONDS) {
    refuse(`header ${TIMEOUT_HEADER} must be a whole number of milliseconds from 1 to ${MAX_TIMEOUT_MILLISECONDS}`);
  }
  return value;
}
