/** Numbers in status are for people: five significant digits. Whole numbers stay as they are. */
export function round(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5));
}

/** The same value with every number in it rounded. */
export function roundNumbers<T>(value: T): T {
  if (typeof value === "number") return round(value) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => roundNumbers(item)) as T;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, roundNumbers(member)])) as T;
}
