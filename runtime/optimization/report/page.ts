/** The report of an optimization: one HTML file with all that was measured. */
import type { OptimizationRun } from "../../../crds/contract/run.ts";
import type { Candidate, Measurement } from "../../../crds/optimization-job.ts";
import type { Comparison } from "../goals.ts";
import { type Point, escaped, pairPlot, readable, scatterPlot } from "../../documents/plots.ts";

export interface Reported extends Pick<Comparison, "before" | "after" | "sizeRatio" | "speedup" | "accuracyDrop"> {
  run: OptimizationRun;
  candidates: Candidate[];
  missedGoals: string[];
  worse: string[];
}

const STYLE = `
:root { color-scheme: light dark; --before: #8a94a6; --after: #1769aa; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 920px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
.wide { overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; font-size: 12px; fill: currentColor; overflow: visible; }
svg .before { fill: var(--before); } svg .after { fill: var(--after); }
svg .other { fill: none; stroke: var(--before); stroke-width: 1.5; }
svg .front { fill: none; stroke: var(--after); stroke-width: 2; }
svg .axis { fill: none; stroke: var(--line); } svg .mark { font-size: 11px; opacity: .8; }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .4em 0 .8em; }
.key.front::before { border: 2px solid var(--after); } .key.other::before { border: 1.5px solid var(--before); }
.key.front::before, .key.other::before { box-sizing: border-box; border-radius: 50%; }
.key.before::before { background: var(--before); } .key.after::before { background: var(--after); }
.chosen { font-weight: 600; } .bad { color: #c0392b; }
`;

/** What is compared, with the unit and how it is read. */
const ROWS: [name: string, of: (measurement: Measurement) => number | undefined, unit: string][] = [
  ["Files", ({ bytes }) => bytes, "bytes"],
  ["Files, gzip", ({ compressedBytes }) => compressedBytes, "bytes"],
  ["Parameters", ({ parameters }) => parameters, ""],
  ["Accuracy", ({ accuracy }) => accuracy, ""],
  ["Loss", ({ loss }) => loss, ""],
  ["Latency of one example, median", ({ latencyP50Milliseconds }) => latencyP50Milliseconds, "ms"],
  ["Throughput in batches of 32", ({ throughputPerSecond }) => throughputPerSecond, "examples/s"],
];

const PLOTTED = ["Files", "Files, gzip", "Latency of one example, median", "Throughput in batches of 32"];

function comparisonTable({ before, after }: Reported): string {
  const rows = ROWS.flatMap(([name, of, unit]) => {
    const [was, is] = [of(before), of(after)];
    if (was === undefined || is === undefined) return [];
    const cells = [was, is].map((value) => `<td>${readable(value)}${unit === "" ? "" : ` ${unit}`}</td>`).join("");
    return [`<tr><td>${escaped(name)}</td>${cells}</tr>`];
  });
  const engines = [before, after].map(({ engine = "" }) => `<td>${escaped(engine)}</td>`).join("");
  return (
    `<table><thead><tr><th></th><th class="key before">before</th><th class="key after">after</th></tr></thead>` +
    `<tbody>${rows.join("")}<tr><td>Computed by</td>${engines}</tr></tbody></table>`
  );
}

function pairPlots({ before, after }: Reported): string {
  const plots = ROWS.flatMap(([name, of, unit]) => {
    const [was, is] = [of(before), of(after)];
    if (!PLOTTED.includes(name) || was === undefined || is === undefined) return [];
    return [pairPlot({ name, unit, before: was, after: is })];
  });
  return `<div class="plots">${plots.join("")}</div>`;
}

/** Empty for models without classes: nothing but a loss could be shown, which candidates do not have. */
function scatterPlots({ before, candidates }: Reported): string {
  if (before.accuracy === undefined) return "";
  const pointsOf = (x: (candidate: Partial<Candidate>) => number | undefined): Point[] => [
    { x: x(before) ?? NaN, y: before.accuracy ?? NaN, label: "the source model", kind: "before" },
    ...candidates.map((candidate): Point => ({
      x: x(candidate) ?? NaN,
      y: candidate.accuracy ?? NaN,
      label: candidate.methods,
      kind: candidate.chosen === true ? "after" : candidate.onFront === true ? "front" : "other",
    })),
  ];
  return (
    `<div class="plots">` +
    scatterPlot(
      pointsOf(({ bytes }) => bytes),
      { title: "Accuracy by size", x: "bytes", y: "accuracy" },
    ) +
    scatterPlot(
      pointsOf(({ latencyP50Milliseconds }) => latencyP50Milliseconds),
      { title: "Accuracy by latency", x: "ms for one example", y: "accuracy" },
    ) +
    `</div><p><span class="key before">the source</span> <span class="key after">what was kept</span> ` +
    `<span class="key front">on the Pareto front</span> <span class="key other">other candidates</span></p>`
  );
}

const cell = (value: number | undefined) => `<td>${value === undefined ? "–" : readable(value)}</td>`;

function candidateTable(candidates: readonly Candidate[]): string {
  const rows = candidates.map(
    ({ methods, bytes, compressedBytes, accuracy, latencyP50Milliseconds, sizeRatio, speedup, chosen, onFront, why }) =>
      `<tr${chosen === true ? ' class="chosen"' : ""}><td>${escaped(methods)}${onFront === true ? " *" : ""}</td>` +
      [bytes, compressedBytes, accuracy, latencyP50Milliseconds, sizeRatio, speedup].map(cell).join("") +
      `<td class="text">${escaped(why)}</td></tr>`,
  );
  const head = ["bytes", "gzip", "accuracy", "ms", "times smaller", "times as fast"].map((name) => `<th>${name}</th>`);
  return (
    `<div class="wide"><table><thead><tr><th>Methods</th>${head.join("")}<th class="text">Why</th></tr></thead>` +
    `<tbody>${rows.join("")}</tbody></table></div>` +
    `<p>* on the Pareto front: no other is at least as accurate, small and fast, and better in one of these.</p>`
  );
}

function list(title: string, items: readonly string[]): string {
  if (items.length === 0) return "";
  return `<p class="bad">${title}</p><ul>${items.map((item) => `<li>${escaped(item)}</li>`).join("")}</ul>`;
}

function accuracyOf(drop: number | undefined): string {
  if (drop === undefined) return "";
  if (drop === 0) return "; accuracy stayed the same";
  return `; accuracy ${drop > 0 ? "fell" : "rose"} by ${readable(100 * Math.abs(drop))} points`;
}

function summary({ sizeRatio, speedup, accuracyDrop, missedGoals, worse }: Reported): string {
  const size = sizeRatio >= 1 ? `${readable(sizeRatio)} times smaller` : `${readable(1 / sizeRatio)} times larger`;
  const pace = speedup >= 1 ? `${readable(speedup)} times faster` : `${readable(1 / speedup)} times slower`;
  return (
    `<p>The model is ${size} and ${pace}${accuracyOf(accuracyDrop)}.</p>` +
    `${list("Goals that were missed", missedGoals)}${list("What got worse", worse)}`
  );
}

export function reportPage(reported: Reported): string {
  const { run, candidates } = reported;
  const name = escaped(run.job.name);
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>Optimization ${name}</title><style>${STYLE}</style></head><body>`,
    `<h1>Optimization ${name}</h1><p>${escaped(run.model.uri)}</p>`,
    summary(reported),
    `<h2>Before and after</h2>${comparisonTable(reported)}${pairPlots(reported)}`,
    `<h2>All candidates</h2>${scatterPlots(reported)}${candidateTable(candidates)}`,
    `</body></html>\n`,
  ].join("\n");
}
