/** What an artefact's manifest keeps of its optimization, and back: an adopted artefact tells what it cost. */
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import type { Candidate } from "../../crds/optimization-job.ts";
import { type Comparison, compare } from "./goals.ts";

type Record = NonNullable<ArtefactManifest["optimization"]>;

export function recordOf({ before, after }: Comparison, candidates: Candidate[]): Record {
  return { before, after, candidates };
}

/** Undefined when the artefact is not that of an optimization. */
export function comparisonOf(record: Record | undefined): (Comparison & { candidates: Candidate[] }) | undefined {
  if (record === undefined) return undefined;
  return { ...compare(record.before, record.after), candidates: record.candidates };
}
