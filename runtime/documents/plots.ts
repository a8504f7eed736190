/** Plots as SVG, for pages that need nothing from elsewhere. */

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

export interface Titles {
  title: string;
  x: string;
  y: string;
}

interface Axes {
  x: (value: number) => number;
  y: (value: number) => number;
  /** The lines and marks. */
  drawn: string;
}

/** Axes on which all these numbers have a place. */
function axesFor(xs: readonly number[], ys: readonly number[], names: Titles): Axes {
  const [right, bottom] = [WIDTH - MARGIN.right, HEIGHT - MARGIN.bottom];
  const x = scale(xs, MARGIN.left, right);
  const y = scale(ys, bottom, MARGIN.top);
  const xMarks = x.marks.map(
    (mark) =>
      `<text class="mark" text-anchor="middle" x="${fixed(x.place(mark))}" y="${bottom + 15}">${readable(mark)}</text>`,
  );
  const yMarks = y.marks.map(
    (mark) =>
      `<text class="mark" text-anchor="end" x="${MARGIN.left - 6}" y="${fixed(y.place(mark) + 4)}">${readable(mark)}</text>`,
  );
  const drawn =
    `<path class="axis" d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${right}"/>` +
    xMarks.join("") +
    yMarks.join("") +
    `<text class="mark" text-anchor="middle" x="${fixed((MARGIN.left + right) / 2)}" y="${HEIGHT - 4}">${escaped(names.x)}</text>` +
    `<text class="mark" text-anchor="middle" transform="translate(11 ${fixed((MARGIN.top + bottom) / 2)}) rotate(-90)">${escaped(names.y)}</text>`;
  return { x: x.place, y: y.place, drawn };
}

function figure(title: string, content: string): string {
  return (
    `<figure><figcaption>${escaped(title)}</figcaption>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${content}</svg></figure>`
  );
}

/** Points with their names when they are pointed at. */
export function scatterPlot(points: readonly Point[], titles: Titles): string {
  const shown = points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
  if (shown.length === 0) return "";
  const axes = axesFor(
    shown.map((point) => point.x),
    shown.map((point) => point.y),
    titles,
  );
  const dots = shown.map(
    ({ x, y, label, kind }) =>
      `<circle class="${kind}" cx="${fixed(axes.x(x))}" cy="${fixed(axes.y(y))}" r="5"><title>${escaped(label)}</title></circle>`,
  );
  return figure(titles.title, axes.drawn + dots.join(""));
}

export interface Line {
  label: string;
  /** Its class in the page's style. */
  kind: string;
  points: readonly { x: number; y: number }[];
}

/** Lines through points; a line of one point is a dot. */
export function linePlot(lines: readonly Line[], titles: Titles): string {
  const all = lines.flatMap(({ points }) => points);
  if (all.length === 0) return "";
  const axes = axesFor(
    all.map(({ x }) => x),
    all.map(({ y }) => y),
    titles,
  );
  const drawn = lines.map(({ label, kind, points }) => {
    const places = points.map(({ x, y }) => `${fixed(axes.x(x))} ${fixed(axes.y(y))}`);
    const [only = ""] = places;
    const [cx = "", cy = ""] = only.split(" ");
    const shape =
      places.length === 1
        ? `<circle class="${kind}" cx="${cx}" cy="${cy}" r="3">`
        : `<path class="line ${kind}" d="M${places.join("L")}">`;
    return `${shape}<title>${escaped(label)}</title>${places.length === 1 ? "</circle>" : "</path>"}`;
  });
  return figure(titles.title, axes.drawn + drawn.join(""));
}
