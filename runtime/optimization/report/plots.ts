/** Plots as SVG, for a page that needs nothing from elsewhere. */

export const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** A number as people read it: four significant digits, with thousands apart. */
export function readable(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 4 });
}

const fixed = (value: number) => value.toFixed(1);

const WIDTH = 360;
const BAR = 22;

export interface Pair {
  name: string;
  unit: string;
  before: number;
  after: number;
}

function bar(y: number, share: number, kind: string, label: string): string {
  const length = Math.max(1, share * (WIDTH - 130));
  return (
    `<rect class="${kind}" x="0" y="${y}" width="${fixed(length)}" height="${BAR - 6}" rx="2"/>` +
    `<text x="${fixed(length + 6)}" y="${y + BAR - 11}">${escaped(label)}</text>`
  );
}

/** Two bars, one below the other. */
export function pairPlot({ name, unit, before, after }: Pair): string {
  const largest = Math.max(before, after) || 1;
  const label = (value: number) => `${readable(value)} ${unit}`;
  return (
    `<figure><figcaption>${escaped(name)}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${2 * BAR}" role="img" aria-label="${escaped(name)}">` +
    bar(0, before / largest, "before", label(before)) +
    bar(BAR, after / largest, "after", label(after)) +
    `</svg></figure>`
  );
}

export interface Point {
  x: number;
  y: number;
  label: string;
  kind: "before" | "after" | "front" | "other";
}

const HEIGHT = 220;
const MARGIN = { left: 58, right: 16, top: 12, bottom: 38 };

/** Marks of an axis: the ends, and the middle between them. */
function scale(values: readonly number[], from: number, to: number) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  // A little room around, also where all are the same.
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  const [first, last] = [low - room, high + room];
  const place = (value: number) => from + ((value - first) / (last - first)) * (to - from);
  return { place, marks: [low, (low + high) / 2, high].filter((mark, index, all) => all.indexOf(mark) === index) };
}

export interface ScatterOptions {
  title: string;
  x: string;
  y: string;
}

/** Points with their names when they are pointed at. */
export function scatterPlot(points: readonly Point[], { title, x: xName, y: yName }: ScatterOptions): string {
  const shown = points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  if (shown.length === 0) return "";
  const [right, bottom] = [WIDTH - MARGIN.right, HEIGHT - MARGIN.bottom];
  const x = scale(
    shown.map((point) => point.x),
    MARGIN.left,
    right,
  );
  const y = scale(
    shown.map((point) => point.y),
    bottom,
    MARGIN.top,
  );
  const xMarks = x.marks.map(
    (mark) =>
      `<text class="mark" text-anchor="middle" x="${fixed(x.place(mark))}" y="${bottom + 15}">${readable(mark)}</text>`,
  );
  const yMarks = y.marks.map(
    (mark) =>
      `<text class="mark" text-anchor="end" x="${MARGIN.left - 6}" y="${fixed(y.place(mark) + 4)}">${readable(mark)}</text>`,
  );
  const dots = shown.map(
    ({ x: px, y: py, label, kind }) =>
      `<circle class="${kind}" cx="${fixed(x.place(px))}" cy="${fixed(y.place(py))}" r="5"><title>${escaped(label)}</title></circle>`,
  );
  return (
    `<figure><figcaption>${escaped(title)}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">` +
    `<path class="axis" d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}"/>` +
    xMarks.join("") +
    yMarks.join("") +
    `<text class="mark" text-anchor="middle" x="${fixed((MARGIN.left + right) / 2)}" y="${HEIGHT - 4}">${escaped(xName)}</text>` +
    `<text class="mark" text-anchor="middle" transform="translate(11 ${fixed((MARGIN.top + bottom) / 2)}) rotate(-90)">${escaped(yName)}</text>` +
    dots.join("") +
    `</svg></figure>`
  );
}
