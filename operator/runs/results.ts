/** What pods said of their run as they ended. */
import type { ReachableArtefact } from "../../crds/common.ts";
import { Run, type RunOutput } from "../../crds/contract/run.ts";
import { accessOf } from "../../crds/location.ts";
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
  readonly artefact: ReachableArtefact;
}

/** The artefact that a pod reports, with the way to it that its run was given: no pod names Secrets. */
export function reachable(report: JobReport | undefined, output: RunOutput): ReachableArtefact | undefined {
  return report?.artefact === undefined ? undefined : { ...report.artefact, ...accessOf(output) };
}

/** The result of a former run that ended just as the spec was changed: no status has shown it yet. */
export function unrecorded({ owner, run, jobs, formerPods, configMaps }: ObservedRun): FormerResult | undefined {
  for (const { complete, metadata } of jobs) {
    const { name, uid } = metadata;
    const output = outputOf(configMaps.find((map) => map.metadata.name === name));
    if (name === run.job.run || !complete || output === undefined) continue;
    const { uri } = output;
    if (uri === owner.status?.artefact?.uri) continue;
    const report = formerPods
      .filter((pod) => pod.metadata.ownerReferences?.some((reference) => reference.uid === uid))
      .map((pod) => reportOn(pod, { name, uri }))
      .find((each) => each?.state === "Succeeded");
    const artefact = reachable(report, output);
    if (artefact !== undefined) return { run: name, artefact };
  }
  return undefined;
}

function outputOf(map: ConfigMapRecord | undefined): RunOutput | undefined {
  try {
    const run = Run.safeParse(JSON.parse(map?.data?.[JOB_FILE] ?? ""));
    return run.success && run.data.kind !== "ServingRun" ? run.data.output : undefined;
  } catch {
    return undefined;
  }
}
