/** Whether what the API server holds still is what was asked for, with the server's own defaults added. */
import { quantityValue } from "../crds/contract/quantity.ts";

/** Every member of `wanted` is in `held` with the same value; `held` may have more. Items with a name are found by it. */
export function covers(held: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true;
  if (Array.isArray(wanted)) {
    // The server drops what is empty in most places.
    if (!Array.isArray(held)) return held === undefined && wanted.length === 0;
    return wanted.every((item, index) => coversItem(held, item, index));
  }
  if (isRecord(wanted)) {
    if (!isRecord(held)) return held === undefined && Object.keys(wanted).length === 0;
    return Object.entries(wanted).every(([key, value]) => covers(held[key], value));
  }
  return held === wanted || sameQuantity(held, wanted);
}

function coversItem(held: readonly unknown[], item: unknown, index: number): boolean {
  if (!isRecord(item) || typeof item["name"] !== "string") {
    return covers(held[index], item) || held.some((other) => covers(other, item));
  }
  return covers(
    held.find((other) => isRecord(other) && other["name"] === item["name"]),
    item,
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The server writes quantities in its own way: 1000m becomes 1. */
function sameQuantity(held: unknown, wanted: unknown): boolean {
  if (typeof held !== "string" || typeof wanted !== "string") return false;
  const amount = quantityValue(wanted);
  return amount !== undefined && Math.abs((quantityValue(held) ?? Number.NaN) - amount) <= 1e-9 * amount;
}
