/** JSON as TensorFlow Serving reads it: NaN and Infinity are numbers, and what follows the document is not looked at. */

/** A whole number that was written as a decimal (`1.0`, `1e3`): not an integer where integers are asked for. */
export class Decimal {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

export class JsonSyntaxError extends SyntaxError {
  override readonly name = "JsonSyntaxError";
  /** In characters. */
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const MAX_DEPTH = 64;
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:Infinity|Inf|NaN|(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?)/y;
/** Where it ends; what is inside is left to JSON.parse. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/sy;

/**
 * Reads one value. With `exact`, whole numbers written as decimals become `Decimal`, and integers that a number cannot
 * hold exactly become bigints.
 */
export function parseLenientJson(text: string, options: { exact?: boolean } = {}): unknown {
  let at = 0;

  const match = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found === null) return undefined;
    at = pattern.lastIndex;
    return found;
  };
  const fail = (message: string): never => {
    throw new JsonSyntaxError(message, at);
  };
  const take = (token: string): boolean => {
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };

  const value = (depth: number): unknown => {
    if (depth > MAX_DEPTH) fail(`More than ${MAX_DEPTH} levels.`);
    match(SPACE);
    if (take("{")) return object(depth);
    if (take("[")) return array(depth);
    if (text[at] === '"') return string();
    if (take("true")) return true;
    if (take("false")) return false;
    if (take("null")) return null;
    return number();
  };
  const number = (): unknown => {
    const found = match(NUMBER) ?? fail("Invalid value.");
    const token = found[0].replace(/Inf$/, "Infinity");
    const result = Number(token.replace("-NaN", "NaN"));
    const decimal = found[1] !== undefined || found[2] !== undefined;
    if (!options.exact || !Number.isInteger(result)) return result;
    if (decimal) return new Decimal(result);
    return Number.isSafeInteger(result) ? result : BigInt(token);
  };
  const string = (): string => {
    const start = at;
    const found = match(STRING) ?? fail("Invalid string.");
    try {
      return String(JSON.parse(found[0]));
    } catch {
      at = start;
      return fail("Invalid string.");
    }
  };
  const array = (depth: number): unknown[] => {
    const items: unknown[] = [];
    match(SPACE);
    if (take("]")) return items;
    for (;;) {
      items.push(value(depth + 1));
      match(SPACE);
      if (take("]")) return items;
      if (!take(",")) fail("Missing a comma or ] after an array element.");
    }
  };
  const object = (depth: number): Record<string, unknown> => {
    const members: [string, unknown][] = [];
    match(SPACE);
    if (take("}")) return {};
    for (;;) {
      match(SPACE);
      if (text[at] !== '"') fail("Missing a name for object member.");
      const key = string();
      match(SPACE);
      if (!take(":")) fail("Missing a colon after a name of object member.");
      members.push([key, value(depth + 1)]);
      match(SPACE);
      // fromEntries defines members, so `__proto__` stays data.
      if (take("}")) return Object.fromEntries(members);
      if (!take(",")) fail("Missing a comma or } after an object member.");
    }
  };

  return value(0);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Decimal);
}

/** Strict JSON in which integers that a number cannot hold exactly become bigints. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  // Looking at every number costs; such integers have 16 digits and more, before any point.
  if (!/(?<![.\d])\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context?.source ?? "")
      : value,
  );
}

/** The value as compact JSON for error messages, cut at 256 bytes. */
export function excerpt(value: unknown): string {
  const text = JSON.stringify(value, (_, member: unknown) => {
    if (member instanceof Decimal) return member.value;
    const unwritable = typeof member === "bigint" || (typeof member === "number" && !Number.isFinite(member));
    return unwritable ? String(member) : member;
  });
  return text.length <= 256 ? text : Buffer.from(text).subarray(0, 256).toString();
}
