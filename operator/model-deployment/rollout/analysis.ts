/** Whether a new version keeps to what spec.rollout.analysis allows, from what the pods report. Pure. */
import { above, merged, quantileOf, total } from "../../../crds/contract/histogram.ts";
import type { Figures, TrafficReport, Window } from "../../../crds/contract/traffic.ts";
import { type Analysis, latencySeconds } from "../../../crds/rollout.ts";

/** Of 100 requests one may be slower than the p99; fewer requests say nothing of it. */
const P99_SHARE = 0.01;
const FEWEST_FOR_P99 = 100;

/** `diverted`: the new version stands beside the one that serves; `local`: it serves itself. */
export type Subject = "diverted" | "local";

export interface Analysed {
  /** Requests that the new version was asked. */
  readonly requests: number;
  /** What it does not keep to, and the remedy; undefined: it keeps to all. */
  readonly breach?: string | undefined;
}

/** Looks at the whole stage and at its last seconds, so that what goes wrong late is seen as soon as what goes wrong at once. */
export function analyse(reports: readonly TrafficReport[], analysis: Analysis, subject: Subject): Analysed {
  const stage = mergedWindow(reports.map((report) => report.stage));
  const recent = mergedWindow(reports.map((report) => report.recent));
  const breach = [stage, recent]
    .map((window) => breachOf(window, analysis, subject))
    .find((text) => text !== undefined);
  return { requests: stage[subject].requests + stage.shadow.compared, breach };
}

function breachOf(window: Window, analysis: Analysis, subject: Subject): string | undefined {
  return errors(window, analysis, subject) ?? latency(window, analysis, subject) ?? drift(window, analysis);
}

/**
 * Too many of a share: also when all requests that are still to come, up to the fewest that count, were good. So a few
 * failures among few requests are no breach, and what cannot become good again is one at once.
 */
function exceeds(bad: number, all: number, share: number, fewest: number): boolean {
  return bad > share * Math.max(all, fewest) + 1e-9;
}

function fewestFor(share: number, { minRequests }: Analysis): number {
  return Math.max(minRequests, share > 0 ? 1 / share : 0);
}

function errors(window: Window, analysis: Analysis, subject: Subject): string | undefined {
  const { requests, failed } = window[subject];
  const { maxErrorRate } = analysis;
  if (!exceeds(failed, requests, maxErrorRate, fewestFor(maxErrorRate, analysis))) return undefined;
  return `${failed} of ${requests} requests failed (analysis.maxErrorRate ${maxErrorRate}); see the log of its pods`;
}

function latency(window: Window, analysis: Analysis, subject: Subject): string | undefined {
  const { maxLatencyP99, maxLatencyRatio, minRequests } = analysis;
  const { latency: seen } = window[subject];
  const fewest = Math.max(minRequests, FEWEST_FOR_P99);
  const tooSlow = (seconds: number) => exceeds(above(seen, seconds), total(seen), P99_SHARE, fewest);
  const told = () => `${milliseconds(quantileOf(seen, 0.99))} at p99 of ${total(seen)} requests`;
  const remedy = "make the model smaller, or give its pods more cpu or a GPU";
  if (maxLatencyP99 !== undefined && tooSlow(latencySeconds(maxLatencyP99))) {
    return `it takes ${told()} (analysis.maxLatencyP99 ${maxLatencyP99}); ${remedy}`;
  }
  if (maxLatencyRatio === undefined || total(window.local.latency) < fewest) return undefined;
  const stable = quantileOf(window.local.latency, 0.99);
  if (stable === undefined || !tooSlow(stable * maxLatencyRatio)) return undefined;
  return `it takes ${told()}, the version that serves ${milliseconds(stable)} (analysis.maxLatencyRatio ${maxLatencyRatio}); ${remedy}`;
}

function drift({ shadow }: Window, analysis: Analysis): string | undefined {
  const { maxPredictionDrift: most } = analysis;
  const { compared, drifted } = shadow;
  if (most === undefined || !exceeds(drifted, compared, most, fewestFor(most, analysis))) return undefined;
  return `${drifted} of ${compared} answers differ from those of the version that serves (analysis.maxPredictionDrift ${most}); check the model, or raise the limit where it is meant to answer otherwise`;
}

function milliseconds(seconds: number | undefined): string {
  return `${((seconds ?? 0) * 1000).toPrecision(3)} ms`;
}

function mergedWindow(windows: readonly Window[]): Window {
  const sum = (of: (window: Window) => number) => windows.reduce((all, window) => all + of(window), 0);
  const figures = (who: Subject): Figures => ({
    requests: sum((window) => window[who].requests),
    failed: sum((window) => window[who].failed),
    latency: merged(windows.map((window) => window[who].latency)),
  });
  return {
    diverted: figures("diverted"),
    local: figures("local"),
    shadow: { compared: sum(({ shadow }) => shadow.compared), drifted: sum(({ shadow }) => shadow.drifted) },
  };
}
