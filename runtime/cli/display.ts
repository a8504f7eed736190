/** Shows where a run stands: a bar that is redrawn on a terminal, else a line for each thing that happened. */
import type { OptimizationProgress, Progress, TrainingProgress } from "../../crds/contract/progress.ts";
import type { Environment } from "./environment.ts";

const WIDTH = 24;

const show = (value: number) => String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
const pairs = (values: Record<string, number>) =>
  Object.entries(values).map(([name, value]) => `${name} ${show(value)}`);

function bar(percent: number): string {
  const full = Math.round((percent / 100) * WIDTH);
  return `[${"=".repeat(full)}${" ".repeat(WIDTH - full)}] ${String(percent).padStart(3)} %`;
}

function eta(seconds: number | undefined): string[] {
  return seconds === undefined || seconds === 0 ? [] : [`${seconds} s left`];
}

function trainingLine({ state, epoch, epochs, loss, metrics = {} }: TrainingProgress): string {
  if (state !== "Training") return state;
  return [`epoch ${epoch}/${epochs}`, ...(loss === undefined ? [] : pairs({ loss })), ...pairs(metrics)].join("  ");
}

function optimizationLine({ state, step }: OptimizationProgress): string {
  return step === undefined ? state : `${state}: ${step}`;
}

function line(progress: Progress): string {
  if (progress.kind === "TrainingProgress") return trainingLine(progress);
  return progress.kind === "OptimizationProgress" ? optimizationLine(progress) : progress.state;
}

/** Two progresses with the same key are shown once, where each line stays. */
function key(progress: Progress): string {
  return progress.kind === "TrainingProgress" ? `${progress.state} ${progress.epoch}` : line(progress);
}

function comparisonLines({
  before,
  after,
  sizeRatio,
  speedup,
  accuracyDrop,
  missedGoals = [],
  worse = [],
  candidates = [],
}: OptimizationProgress): string[] {
  if (before === undefined || after === undefined) return [];
  const row = (name: string, a: number | undefined, b: number | undefined, note = "") =>
    a === undefined || b === undefined
      ? []
      : [`  ${name.padEnd(18)}${show(a).padStart(12)}${show(b).padStart(12)}  ${note}`];
  const times = (value: number | undefined) => (value === undefined ? "" : `${show(value)} x`);
  return [
    `  ${"".padEnd(18)}${"before".padStart(12)}${"after".padStart(12)}`,
    ...row("bytes", before.bytes, after.bytes, `${times(sizeRatio)} smaller`),
    ...row("bytes after gzip", before.compressedBytes, after.compressedBytes),
    ...row("parameters", before.parameters, after.parameters),
    ...row("accuracy", before.accuracy, after.accuracy, accuracyDrop === undefined ? "" : `drop ${show(accuracyDrop)}`),
    ...row("loss", before.loss, after.loss),
    ...row(
      "latency p50 in ms",
      before.latencyP50Milliseconds,
      after.latencyP50Milliseconds,
      `${times(speedup)} as fast`,
    ),
    ...row("examples per s", before.throughputPerSecond, after.throughputPerSecond),
    ...missedGoals.map((goal) => `  missed: ${goal}`),
    ...worse.map((what) => `  worse: ${what}`),
    ...candidates.map(({ methods, chosen, why }) => `  ${chosen === true ? "kept" : "not kept"}: ${methods}: ${why}`),
  ];
}

/** What the model took, and what it gives away. */
function accountLines({ energy, privacy }: TrainingProgress): string[] {
  const lines: string[] = [];
  if (privacy !== undefined)
    lines.push(`  private: ${pairs({ epsilon: privacy.epsilon, delta: privacy.delta }).join("  ")}`);
  if (energy !== undefined) {
    const how = energy.source === "GpuCounters" ? "by the GPUs' counters" : "by a model of the processors";
    lines.push(`  energy: ${show(energy.kWh)} kWh, ${show(energy.gCO2e)} g CO2e, ${how}`);
  }
  return lines;
}

/** What is said at the end. */
export function resultLines(progress: Progress): string[] {
  if (progress.kind === "ServingProgress") return [];
  const { artefact, adopted } = progress;
  const lines = progress.kind === "OptimizationProgress" ? comparisonLines(progress) : [];
  if (progress.kind === "TrainingProgress" && progress.evaluation !== undefined) {
    lines.push(`  on test data: ${pairs(progress.evaluation).join("  ")}`);
  }
  if (progress.kind === "TrainingProgress") lines.push(...accountLines(progress));
  if (artefact !== undefined) {
    const how = adopted === true ? "adopted, nothing was computed" : "written";
    lines.push(`  ${artefact.uri} ${how}`, `  ${artefact.digest}, ${artefact.bytes} bytes`);
  }
  return lines;
}

/** Says once from where a run goes on. */
function resumption(): (progress: Progress) => string[] {
  let told = false;
  return (progress) => {
    if (told || progress.kind === "ServingProgress" || progress.resumed === undefined) return [];
    told = true;
    const { resumed } = progress;
    const place = "epoch" in resumed ? `epoch ${resumed.epoch}` : `${resumed.candidates} finished candidates`;
    return [`goes on from ${place}, step ${resumed.step}`];
  };
}

export interface Display {
  show(progress: Progress): void;
  /** Ends a line that is being redrawn. */
  end(): void;
}

export function display({ terminal, out, draw }: Environment): Display {
  let shown = "";
  const news = resumption();
  if (!terminal) {
    return {
      show(progress) {
        news(progress).forEach(out);
        if (key(progress) === shown) return;
        shown = key(progress);
        const left = progress.kind === "ServingProgress" ? [] : eta(progress.etaSeconds);
        out([line(progress), ...left].join("  "));
      },
      end: () => undefined,
    };
  }
  return {
    show(progress) {
      for (const text of news(progress)) draw(`\r\u001b[K${text}\n`);
      const percent = progress.kind === "ServingProgress" ? 0 : progress.progressPercent;
      const left = progress.kind === "ServingProgress" ? [] : eta(progress.etaSeconds);
      draw(`\r\u001b[K${[bar(percent), line(progress), ...left].join("  ")}`);
      shown = "bar";
    },
    end() {
      if (shown !== "") draw("\n");
    },
  };
}
