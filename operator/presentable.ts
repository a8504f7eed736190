/** Values in status are for people. */

/** Five significant digits; whole numbers stay as they are. */
export function round(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5));
}

/** One line, without control characters and halves of characters. */
export function printable(text: string): string {
  return text.toWellFormed().replaceAll(/\p{Cc}+/gu, " ");
}

/** What a pod says, as status shows it: every number in it rounded, every text printable. */
export function presentable<T>(value: T): T {
  if (typeof value === "number") return round(value) as T;
  if (typeof value === "string") return printable(value) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => presentable(item)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [printable(key), presentable(member)])) as T;
}
