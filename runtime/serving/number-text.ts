/** Numbers as text. A float32 is written with the fewest digits that give the same float32 back. */

const FEWEST_DIGITS = 6;
const MOST_DIGITS = 9;

/** As C's %g would write it with as many digits as needed, whole numbers with `.0`: 0.5 2.0 9e+06 3e-05. Finite only. */
export function float32Text(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return Object.is(value, -0) ? "-0.0" : `${value}.0`;
  if (value < 0) return `-${positiveText(-value)}`;
  return positiveText(value);
}

/** Powers of ten that a double holds exactly. */
const POWERS = Array.from({ length: 23 }, (_, power) => 10 ** power);

/** What is given back with so many digits is given back with more; most values need 8 or 9. */
function positiveText(value: number): string {
  let text = rounded(value, MOST_DIGITS - 1);
  if (text === undefined) return rounded(value, MOST_DIGITS) ?? fromExponential(value.toExponential(MOST_DIGITS - 1));
  for (let digits = MOST_DIGITS - 2; digits >= FEWEST_DIGITS; digits--) {
    const shorter = rounded(value, digits);
    if (shorter === undefined) break;
    text = shorter;
  }
  return text;
}

/** The value with so many digits, if that gives the same float32 back; by way of whole numbers, which are fast to write. */
function rounded(value: number, digits: number): string | undefined {
  let exponent = Math.floor(Math.log10(value));
  let whole = scaled(value, digits - 1 - exponent);
  if (whole === undefined) return slowlyRounded(value, digits);
  // The logarithm may be off by one, and rounding up may add a digit.
  const least = POWERS[digits - 1] ?? 0;
  if (whole < least || whole >= 10 * least) {
    exponent += whole < least ? -1 : 1;
    whole = scaled(value, digits - 1 - exponent);
    if (whole === undefined || whole < least || whole >= 10 * least) return slowlyRounded(value, digits);
  }
  const power = digits - 1 - exponent;
  const back = power >= 0 ? whole / (POWERS[power] ?? 1) : whole * (POWERS[-power] ?? 1);
  return Math.fround(back) === value ? laidOut(String(whole), exponent) : undefined;
}

/** `value` times that power of ten, to the nearest whole number; undefined where a double cannot tell which that is. */
function scaled(value: number, power: number): number | undefined {
  const factor = POWERS[Math.abs(power)];
  if (factor === undefined) return undefined;
  const product = power >= 0 ? value * factor : value / factor;
  const whole = Math.round(product);
  return Math.abs(Math.abs(product - whole) - 0.5) < 1e-6 ? undefined : whole;
}

function slowlyRounded(value: number, digits: number): string | undefined {
  const text = value.toExponential(digits - 1);
  return Math.fround(Number(text)) === value ? fromExponential(text) : undefined;
}

function fromExponential(text: string): string {
  const [mantissa = "", power = "0"] = text.split("e");
  return laidOut(mantissa.replace(".", ""), Number(power));
}

/** `digits` times ten to the power of `exponent`, the point after the first of them; without zeros at the end. */
function laidOut(digits: string, exponent: number): string {
  let end = digits.length;
  while (end > 1 && digits.charCodeAt(end - 1) === ZERO) end -= 1;
  if (exponent < -4 || exponent >= digits.length) {
    const mantissa = end > 1 ? `${digits[0]}.${digits.slice(1, end)}` : (digits[0] ?? "");
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  if (exponent < 0) return `0.${"0".repeat(-exponent - 1)}${digits.slice(0, end)}`;
  const point = exponent + 1;
  return end > point ? `${digits.slice(0, point)}.${digits.slice(point, end)}` : `${digits.slice(0, point)}.0`;
}

const ZERO = 48;

/** Also NaN, Infinity and -Infinity, bare: what TensorFlow Serving writes, though strict JSON has no such tokens. */
export function float32Token(value: number): string {
  return Number.isFinite(value) ? float32Text(value) : String(value);
}

/** A double in the same form: as many digits as it takes to get it back. */
export function float64Token(value: number): string {
  const text = Object.is(value, -0) ? "-0" : String(value);
  return Number.isInteger(value) && !text.includes("e") ? `${text}.0` : text;
}
