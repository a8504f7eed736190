/** Which volume claims a run reads and writes. */
import type { Run } from "../../crds/contract/run.ts";
import type { Access } from "../../crds/location.ts";

interface Source extends Access {
  uri?: string | undefined;
  features?: string | undefined;
  labels?: string | undefined;
  weights?: string | undefined;
}

function urisOf({ uri, features, labels, weights }: Source): string[] {
  return [uri, features, labels, weights].filter((each) => each !== undefined);
}

/** What a run reads. */
function inputs(run: Run): Source[] {
  switch (run.kind) {
    case "TrainingRun":
      return present([run.training.model.base, ...Object.values(run.training.dataset)]);
    case "OptimizationRun":
      return [run.model, ...present(Object.values(run.optimization.dataset))];
    case "ServingRun":
      return [run.model];
  }
}

const present = (sources: readonly (Source | undefined)[]) => sources.filter((source) => source !== undefined);

/** URIs that a run reads. */
export function inputUris(run: Run): string[] {
  return inputs(run).flatMap(urisOf);
}

/** Names of the Secrets and ConfigMaps that a run gets at its inputs and its output with, each once, sorted. */
export function accessNames(run: Run): { secrets: string[]; caBundles: string[] } {
  const all: Access[] = run.kind === "ServingRun" ? inputs(run) : [...inputs(run), run.output];
  const names = (of: (access: Access) => string | undefined) =>
    [...new Set(all.map(of).filter((name) => name !== undefined))].toSorted();
  return {
    secrets: names(({ credentials }) => credentials?.secretName),
    caBundles: names(({ caBundle }) => caBundle?.configMapName),
  };
}

/** URIs that a run writes below. */
export function outputUris(run: Run): string[] {
  return run.kind === "ServingRun" ? [] : [run.output.uri];
}

/** The claim of `pvc://CLAIM/PATH`; none of other URIs. */
export function claimsOf(uri: string): string[] {
  const claim = /^pvc:\/\/([^/]+)\//.exec(uri)?.[1];
  return claim === undefined ? [] : [claim];
}

export interface ClaimMount {
  readonly claim: string;
  readonly readOnly: boolean;
}

/** Every claim once, by name; writable where the run writes to it. */
export function claimMounts(run: Run): ClaimMount[] {
  const written = new Set(outputUris(run).flatMap(claimsOf));
  const claims = new Set([...inputUris(run).flatMap(claimsOf), ...written]);
  return [...claims].toSorted().map((claim) => ({ claim, readOnly: !written.has(claim) }));
}
