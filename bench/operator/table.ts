/** The figures beside the targets. */

export interface Row {
  readonly what: string;
  /** Figures of KServe 0.20's controller on such a bed. */
  readonly kserve: readonly number[];
  readonly target: readonly number[];
  readonly ours: readonly number[];
  /** Of the controller that is made with client-node's informer and client; empty where it has no such function. */
  readonly stock?: readonly number[];
  readonly unit?: string;
  readonly note?: string;
}

const number = (value: number): string => {
  if (Number.isNaN(value)) return "–";
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toFixed(Math.abs(value) >= 10 ? 1 : 2)));
};
const list = (values: readonly number[], unit = ""): string =>
  values.length === 0 ? "–" : `${values.map(number).join(" / ")}${unit && ` ${unit}`}`;
const ratio = (over: readonly number[], under: readonly number[]): string =>
  list(over.map((value, index) => value / (under[index] || Number.NaN)));

/** Rows as a Markdown table. A ratio below 1 is better than KServe; "misses" stands where a figure is above its target. */
export function table(rows: readonly Row[]): string {
  const lines = rows.map(({ what, kserve, target, ours, stock = [], unit, note }) => {
    const misses = ours.some((value, index) => value > (target[index] ?? Number.POSITIVE_INFINITY));
    const cells = [
      what,
      list(kserve, unit),
      list(target, unit),
      list(ours, unit),
      ratio(ours, kserve),
      list(stock, unit),
    ];
    return [...cells, `${misses ? "misses" : "meets"}${note === undefined ? "" : `; ${note}`}`];
  });
  const head = ["what", "KServe", "target", "ours", "ours / KServe", "stock client-node", "target"];
  const all = [head, ...lines];
  const widths = head.map((_, column) => Math.max(...all.map((cells) => cells[column]?.length ?? 0)));
  const text = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(" | ")} |`;
  return [text(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...lines.map(text)].join("\n");
}
