/** What pods said of their run as they ended. */
import { Run } from "../../crds/contract/run.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { reportOf } from "../pods/problem.ts";
import { JOB_FILE } from "../pods/template.ts";
import { presentable } from "../presentable.ts";
import type { ConfigMapRecord } from "./job-record.ts";
import type { JobReport, ObservedRun } from "./observed.ts";

interface RunIdentity {
  readonly name: string;
  /** Where its artefact goes. */
  readonly uri: string;
}

/** A pod's last words about that run. Those about another do not count, nor do artefacts in other places. */
export function reportOn(pod: PodRecord, { name, uri }: RunIdentity): JobReport | undefined {
  const report = reportOf(pod.ended);
  if (report === undefined || report.kind === "ServingProgress" || report.run !== name) return undefined;
  return report.artefact !== undefined && report.artefact.uri !== uri ? undefined : presentable(report);
}

export interface FormerResult {
  readonly run: string;
  readonly artefact: NonNullable<JobReport["artefact"]>;
}

/** The result of a former run that ended just as the spec was changed: no status has shown it yet. */
export function unrecorded({ owner, run, jobs, formerPods, configMaps }: ObservedRun): FormerResult | undefined {
  for (const { complete, metadata } of jobs) {
    const { name, uid } = metadata;
    const uri = outputOf(configMaps.find((map) => map.metadata.name === name));
    if (name === run.job.run || !complete || uri === undefined || uri === owner.status?.artefact?.uri) continue;
    const artefact = formerPods
      .filter((pod) => pod.metadata.ownerReferences?.some((reference) => reference.uid === uid))
      .map((pod) => reportOn(pod, { name, uri }))
      .find((report) => report?.state === "Succeeded")?.artefact;
    if (artefact !== undefined) return { run: name, artefact };
  }
  return undefined;
}

function outputOf(map: ConfigMapRecord | undefined): string | undefined {
  try {
    const run = Run.safeParse(JSON.parse(map?.data?.[JOB_FILE] ?? ""));
    return run.success && run.data.kind !== "ServingRun" ? run.data.output.uri : undefined;
  } catch {
    return undefined;
  }
}
