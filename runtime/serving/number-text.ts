/** Numbers as text. A float32 is written with the fewest digits that give the same float32 back. */

const FEWEST_DIGITS = 6;
const MOST_DIGITS = 9;

/** As C's %g would write it with as many digits as needed, whole numbers with `.0`: 0.5 2.0 9e+06 3e-05. Finite only. */
export function float32Text(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return Object.is(value, -0) ? "-0.0" : `${value}.0`;
  for (let digits = FEWEST_DIGITS; digits < MOST_DIGITS; digits++) {
    const text = value.toExponential(digits - 1);
    if (Math.fround(Number(text)) === value) return general(text, digits);
  }
  return general(value.toExponential(MOST_DIGITS - 1), MOST_DIGITS);
}

function general(exponential: string, digits: number): string {
  const [mantissa = "", power = "0"] = exponential.split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < digits) {
    const text = trimmed(Number(exponential).toFixed(digits - 1 - exponent));
    return text.includes(".") ? text : `${text}.0`;
  }
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${trimmed(mantissa)}e${exponent < 0 ? "-" : "+"}${size}`;
}

function trimmed(decimal: string): string {
  return decimal.includes(".") ? decimal.replace(/\.?0+$/, "") : decimal;
}

/** Also NaN, Infinity and -Infinity, bare: what TensorFlow Serving writes, though strict JSON has no such tokens. */
export function float32Token(value: number): string {
  return Number.isFinite(value) ? float32Text(value) : String(value);
}

/** A double in the same form: as many digits as it takes to get it back. */
export function float64Token(value: number): string {
  const text = Object.is(value, -0) ? "-0" : String(value);
  return Number.isInteger(value) && !text.includes("e") ? `${text}.0` : text;
}
