/** Which model a reference means right now. */
import type { ModelReference, ReachableArtefact } from "../crds/common.ts";
import type { ResolvedModel } from "../crds/contract/run.ts";
import { accessOf } from "../crds/location.ts";
import type { Failure } from "./reasons.ts";

/** A job as far as a reference to it needs it. */
export interface SourceJob {
  readonly status?:
    | { readonly artefact?: ReachableArtefact | undefined; readonly state?: string | undefined }
    | undefined;
}

export type JobLookup = (kind: "TrainingJob" | "OptimizationJob", name: string) => SourceJob | undefined;

export type Resolution =
  | { readonly state: "Known"; readonly model: ResolvedModel }
  | { readonly state: "Waiting"; readonly message: string }
  | { readonly state: "Wrong"; readonly failure: Failure };

/** `self` is the object with the reference: it cannot be its own source. */
export function resolveModel(
  reference: ModelReference,
  self: { readonly kind: string; readonly metadata: { readonly name: string } },
  lookup: JobLookup,
  field = "spec.model",
): Resolution {
  const { uri, from, digest } = reference;
  if (uri !== undefined) {
    return { state: "Known", model: { uri, ...accessOf(reference), ...(digest === undefined ? {} : { digest }) } };
  }
  if (from === undefined) {
    return wrong("InvalidSpec", `${field} names nothing; set uri or from`);
  }
  const source = `${from.kind} ${from.name}`;
  if (from.kind === self.kind && from.name === self.metadata.name) {
    return wrong("InvalidSpec", `${field}.from refers to this ${self.kind} itself; name another job`);
  }
  const job = lookup(from.kind, from.name);
  if (job === undefined) {
    return {
      state: "Waiting",
      message: `${source} does not exist in this namespace; create it, or correct ${field}.from`,
    };
  }
  const artefact = job.status?.artefact;
  if (artefact === undefined) {
    const state = job.status?.state ?? "Pending";
    return { state: "Waiting", message: `${source} has no artefact yet (${state})` };
  }
  if (digest !== undefined && digest !== artefact.digest) {
    const text = `the artefact of ${source} has digest ${artefact.digest}, not ${field}.digest; correct or remove ${field}.digest`;
    return wrong("DigestMismatch", text);
  }
  return { state: "Known", model: { uri: artefact.uri, digest: artefact.digest, ...accessOf(artefact) } };
}

function wrong(reason: Failure["reason"], message: string): Resolution {
  return { state: "Wrong", failure: { reason, message } };
}

/** Key of the job that a reference names; for an index. */
export function sourceKeys(object: { metadata: { namespace?: string }; spec: { model: unknown } }): string[] {
  const { from } = object.spec.model as { from?: { kind: string; name: string } };
  return keysOf(object.metadata, from);
}

/** As sourceKeys, of the base that a training begins with. */
export function baseSourceKeys(object: {
  metadata: { namespace?: string };
  spec: { model: { base?: { from?: { kind: string; name: string } | undefined } | undefined } };
}): string[] {
  return keysOf(object.metadata, object.spec.model.base?.from);
}

function keysOf(metadata: { namespace?: string }, from: { kind: string; name: string } | undefined): string[] {
  return from === undefined ? [] : [sourceKey(from.kind, metadata.namespace, from.name)];
}

export function sourceKey(kind: string, namespace: string | undefined, name: string): string {
  return `${kind}/${namespace ?? ""}/${name}`;
}
