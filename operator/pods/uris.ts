/** Which volume claims a run reads and writes. */
import type { Run } from "../../crds/contract/run.ts";

interface Source {
  uri?: string | undefined;
  features?: string | undefined;
  labels?: string | undefined;
}

function urisOf(source: Source | undefined): string[] {
  if (source === undefined) return [];
  return [source.uri, source.features, source.labels].filter((uri) => uri !== undefined);
}

/** URIs that a run reads. */
export function inputUris(run: Run): string[] {
  switch (run.kind) {
    case "TrainingRun": {
      const { train, validation, test } = run.training.dataset;
      return [train, validation, test].flatMap(urisOf);
    }
    case "OptimizationRun": {
      const { train, calibration, test } = run.optimization.dataset;
      return [run.model.uri, ...[train, calibration, test].flatMap(urisOf)];
    }
    case "ServingRun":
      return [run.model.uri];
  }
}

/** URIs that a run writes below. */
export function outputUris(run: Run): string[] {
  return run.kind === "ServingRun" ? [] : [run.output.uri];
}

/** The claim of `pvc://CLAIM/PATH`. */
export function claimOf(uri: string): string {
  const match = /^pvc:\/\/([^/]+)\//.exec(uri);
  if (match?.[1] === undefined) throw new Error(`${uri} is not of the form pvc://CLAIM/PATH`);
  return match[1];
}

export interface ClaimMount {
  readonly claim: string;
  readonly readOnly: boolean;
}

/** Every claim once, by name; writable where the run writes to it. */
export function claimMounts(run: Run): ClaimMount[] {
  const written = new Set(outputUris(run).map(claimOf));
  const claims = new Set([...inputUris(run).map(claimOf), ...written]);
  return [...claims].toSorted().map((claim) => ({ claim, readOnly: !written.has(claim) }));
}
