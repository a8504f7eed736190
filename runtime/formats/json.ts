/** JSON of model files, which nobody vouches for. */
import { unsupported } from "./unsupported.ts";

/** Models nest in models, but not for ever; recursion over more levels could exhaust the stack. */
const DEPTH_LIMIT = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = [0x7b, 0x5b];
const CLOSING = [0x7d, 0x5d];

/** Levels of nesting, counted without building anything: what is nested millions deep takes seconds to parse. */
function nesting(json: Uint8Array): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let index = 0; index < json.length; index++) {
    const byte = json[index] ?? 0;
    if (quoted) {
      if (byte === BACKSLASH) index++;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (OPENING.includes(byte)) deepest = Math.max(deepest, ++depth);
    else if (CLOSING.includes(byte)) depth--;
  }
  return deepest;
}

/** Parses JSON (UTF-8). Throws Failure ModelUnsupported for what is no JSON or is nested too deeply. */
export function parseJson(json: Uint8Array, shownAs: string): unknown {
  const levels = nesting(json);
  if (levels > DEPTH_LIMIT) {
    throw unsupported(
      shownAs,
      `is nested ${levels} levels deep; at most ${DEPTH_LIMIT} are read; save the model again`,
    );
  }
  try {
    // A key may be called __proto__; as an own property of what JSON.parse makes it does no harm, copied it would.
    return JSON.parse(new TextDecoder().decode(json), (key, value: unknown) =>
      key === "__proto__" ? undefined : value,
    );
  } catch (error) {
    throw unsupported(shownAs, "is no JSON; save the model again", error);
  }
}
