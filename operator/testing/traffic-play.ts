/** Plays what pods report of the requests that they share. */
import { bucketOf } from "../../crds/contract/histogram.ts";
import { LABELS } from "../../crds/contract/names.ts";
import { TrafficDirective, type TrafficReport, type Window } from "../../crds/contract/traffic.ts";
import type { PodRecord } from "../pods/pod-record.ts";

/** How a version answers. */
export interface Answers {
  /** Share of the requests that fail. */
  readonly failing?: number;
  readonly seconds?: number;
  /** Share of the answers that differ from the other version's. */
  readonly drifting?: number;
}

interface Kept {
  readonly id: string | undefined;
  readonly report: TrafficReport;
}

export class TrafficPlay {
  /** Of each pod that serves users. */
  requestsPerSecond = 50;
  /** Pods do not see their annotation. */
  deaf = false;
  readonly #kept = new Map<string, Kept>();

  /** Lets pods that users reach answer for some seconds. */
  pass(pods: readonly PodRecord[], seconds: number, answersOf: (revision: string) => Answers): void {
    for (const pod of pods) {
      const uid = pod.metadata.uid;
      const revision = pod.metadata.labels?.[LABELS.revision] ?? "";
      const directive = this.deaf ? undefined : parse(pod.traffic);
      const held = this.#kept.get(uid);
      const stage = held !== undefined && held.id === directive?.id ? held.report.stage : emptyWindow();
      const all = Math.round(this.requestsPerSecond * seconds);
      const diverted = directive?.target === undefined ? 0 : Math.round((all * directive.weight) / 100);
      const other = answersOf(directive?.target?.revision ?? "");
      add(stage.diverted, diverted, other);
      add(stage.local, all - diverted, answersOf(revision));
      const copied = Math.round(((all - diverted) * (directive?.shadow?.percent ?? 0)) / 100);
      stage.shadow.compared += copied;
      stage.shadow.drifted += Math.round(copied * (other.drifting ?? 0));
      const report: TrafficReport = {
        kind: "TrafficReport",
        revision,
        ...(directive === undefined ? {} : { directive: directive.id }),
        weight: directive?.weight ?? 0,
        stage,
        recent: emptyWindow(),
      };
      this.#kept.set(uid, { id: directive?.id, report });
    }
  }

  reports(): ReadonlyMap<string, TrafficReport> {
    return new Map([...this.#kept].map(([uid, { report }]) => [uid, structuredClone(report)]));
  }
}

function parse(text: string | undefined): TrafficDirective | undefined {
  return text === undefined ? undefined : TrafficDirective.parse(JSON.parse(text));
}

function add(figures: Window["diverted"], count: number, { failing = 0, seconds = 0.005 }: Answers): void {
  const failed = Math.round(count * failing);
  figures.requests += count;
  figures.failed += failed;
  const bucket = bucketOf(seconds);
  if (count > failed) figures.latency[bucket] = (figures.latency[bucket] ?? 0) + count - failed;
}

function emptyFigures(): Window["local"] {
  return { requests: 0, failed: 0, latency: {} };
}

function emptyWindow(): Window {
  return { diverted: emptyFigures(), local: emptyFigures(), shadow: { compared: 0, drifted: 0 } };
}
