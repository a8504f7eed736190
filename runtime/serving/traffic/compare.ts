/** Whether two versions gave the same answer to the same request. Pure. */

/** Members that differ from version to version without meaning anything. */
const NAMES: ReadonlySet<string> = new Set(["id", "model_name", "model_version", "modelVersion", "modelName"]);

/**
 * True when two parsed answers differ: another form, other texts, or a number that is off by more than `tolerance`, absolutely where
 * numbers are below 1 and relatively where they are larger.
 */
export function differs(a: unknown, b: unknown, tolerance: number): boolean {
  if (typeof a === "number" && typeof b === "number") return numbersDiffer(a, b, tolerance);
  if (isNumbers(a) && isNumbers(b)) {
    if (a.length !== b.length) return true;
    for (let index = 0; index < a.length; index++) {
      if (numbersDiffer(Number(a[index]), Number(b[index]), tolerance)) return true;
    }
    return false;
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length !== b.length || a.some((item, index) => differs(item, b[index], tolerance));
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)].filter((key) => !NAMES.has(key)));
    return [...keys].some((key) => differs(a[key], b[key], tolerance));
  }
  return a !== b;
}

function numbersDiffer(a: number, b: number, tolerance: number): boolean {
  if (Object.is(a, b) || a === b) return false;
  const difference = Math.abs(a - b);
  // Not a number or infinite on one side only.
  if (!Number.isFinite(difference)) return true;
  return difference > tolerance * Math.max(1, Math.abs(a), Math.abs(b));
}

type Numbers = ArrayLike<number | bigint>;

function isNumbers(value: unknown): value is Numbers {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
