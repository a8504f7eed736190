/** The report of a training: one HTML file with its curves and what it came to, which needs nothing from elsewhere. */
import type { Energy, Privacy } from "../../../crds/accounts.ts";
import type { TrainingRun } from "../../../crds/contract/run.ts";
import { type Line, escaped, linePlot, readable } from "../../documents/plots.ts";
import type { LoopState } from "../loop.ts";

export interface Reported {
  run: TrainingRun;
  state: LoopState;
  /** Numbers that the model has. */
  parameters: number;
  /** What was learned from, and what it was watched and tested with. */
  examples: { train: number; validation?: number | undefined; test?: number | undefined };
  exampleShape: readonly number[];
  evaluation?: Readonly<Record<string, number>> | undefined;
  phaseSeconds?: Readonly<Record<string, number>> | undefined;
  privacy?: Privacy | undefined;
  energy?: Energy | undefined;
}

const STYLE = `
:root { color-scheme: light dark; --train: #1769aa; --validation: #d1720c; --line: #8886; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 800px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { text-align: right; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, dl { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.5rem; } dd { margin: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; font-size: 12px; fill: currentColor; overflow: visible; }
svg .axis { fill: none; stroke: var(--line); } svg .mark { font-size: 11px; opacity: .8; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg path.train { stroke: var(--train); } svg path.validation { stroke: var(--validation); }
svg circle.train { fill: var(--train); } svg circle.validation { fill: var(--validation); }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.key.train::before { background: var(--train); } .key.validation::before { background: var(--validation); margin-left: 1em; }
`;

type History = LoopState["history"];

const withoutPrefix = (name: string) => name.replace(/^val_/, "");

/** Names of loss and metrics, without those of validation. */
function namesIn(history: History): string[] {
  return [...new Set(history.flatMap(({ values }) => Object.keys(values).map(withoutPrefix)))];
}

function line(history: History, key: string, label: string, kind: string): Line {
  const points = history.flatMap(({ epoch, values }) => {
    const y = values[key];
    return y === undefined ? [] : [{ x: epoch, y }];
  });
  return { label, kind, points };
}

function plots(history: History): string {
  const curves = namesIn(history).map((name) =>
    linePlot([line(history, name, "training", "train"), line(history, `val_${name}`, "validation", "validation")], {
      title: name,
      x: "epoch",
      y: name,
    }),
  );
  const rates = history.map(({ epoch, learningRate }) => ({ x: epoch, y: learningRate }));
  const rate = linePlot([{ label: "learning rate", kind: "train", points: rates }], {
    title: "learning rate",
    x: "epoch",
    y: "learning rate",
  });
  return `<div class="plots">${[...curves, rate].join("")}</div>`;
}

function table(history: History): string {
  const names = [...new Set(history.flatMap(({ values }) => Object.keys(values)))];
  const head = ["epoch", ...names, "learning rate"].map((name) => `<th>${escaped(name)}</th>`).join("");
  const rows = history.map(({ epoch, values, learningRate }) => {
    const cells = [...names.map((name) => values[name] ?? NaN), learningRate].map(
      (value) => `<td>${readable(value)}</td>`,
    );
    return `<tr><td>${epoch}</td>${cells.join("")}</tr>`;
  });
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

/** Names and what stands beside them. */
function facts(reported: Reported): [name: string, text: string][] {
  const {
    run,
    state,
    parameters,
    examples,
    exampleShape,
    evaluation = {},
    phaseSeconds = {},
    privacy,
    energy,
  } = reported;
  const { training } = run;
  const { stopped } = state;
  const ended = stopped === undefined ? "" : `, ended early; epoch ${stopped.bestEpoch} was best`;
  const [optimizer = ""] = Object.keys(training.optimizer);
  const parts = Object.entries(examples).filter(([, count]) => count !== undefined);
  return [
    ["Run", run.job.run],
    ["Epochs", `${state.epoch} of ${state.epochs}${ended}`],
    ["Steps", `${readable(state.step)} of ${training.batchSize} examples`],
    ["Examples", parts.map(([name, count]) => `${name} ${readable(count ?? 0)}`).join(", ")],
    ["Shape of an example", `[${exampleShape.join(", ")}]`],
    ["Parameters", readable(parameters)],
    ["Loss", training.loss],
    ["Optimizer", optimizer],
    ["Seed", String(training.seed)],
    ...Object.entries(evaluation).map(([name, value]): [string, string] => [`On test data: ${name}`, readable(value)]),
    ["Pace", `${readable(state.throughput)} examples/s`],
    ...Object.entries(phaseSeconds).map(([name, seconds]): [string, string] => [name, `${readable(seconds)} s`]),
    ...(privacy === undefined
      ? []
      : [["Privacy", `epsilon ${privacy.epsilon}, delta ${privacy.delta}`] as [string, string]]),
    ...(energy === undefined
      ? []
      : [["Energy", `${readable(energy.kWh)} kWh, ${readable(energy.gCO2e)} g CO2e`] as [string, string]]),
  ];
}

/** The page. Nothing of the data is in it. */
export function reportPage(reported: Reported): string {
  const { run, state } = reported;
  const title = escaped(`Training of ${run.job.name}`);
  const list = facts(reported).map(([name, text]) => `<dt>${escaped(name)}</dt><dd>${escaped(text)}</dd>`);
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>${title}</title><style>${STYLE}</style></head><body><h1>${title}</h1>` +
    `<p><span class="key train">training</span><span class="key validation">validation</span></p>` +
    `${plots(state.history)}<h2>What it came to</h2><dl>${list.join("")}</dl>` +
    `<h2>Epochs</h2>${table(state.history)}</body></html>\n`
  );
}
