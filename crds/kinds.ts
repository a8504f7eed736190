/** The three kinds, and offline validation of a manifest. */
import { z } from "zod";
import { API_VERSION } from "./common.ts";
import { type Crd, NAME_LIMIT } from "./kind.ts";
import { ModelDeployment } from "./model-deployment.ts";
import { OptimizationJob } from "./optimization-job.ts";
import { TrainingJob } from "./training-job.ts";

export const KINDS: readonly Crd[] = [TrainingJob, OptimizationJob, ModelDeployment];

/** CEL of the root: children's names and labels are made from the object's name. */
export const NAME_RULE = {
  rule: `self.metadata.name.size() <= ${NAME_LIMIT} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')`,
  message: `metadata.name must start with a letter, have only a-z, 0-9 and -, and at most ${NAME_LIMIT} characters; choose another name`,
};

/** A field of a manifest that is wrong. */
export interface FieldError {
  /** Path such as `spec.model.layers[0].dense.units`. */
  field: string;
  message: string;
}

function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`),
    "",
  );
}

/** The errors of a failed zod check, by field. */
export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.map((issue) => ({ field: fieldPath(issue.path), message: issue.message }));
}

export type Validated<T> = { ok: true; value: T } | { ok: false; errors: FieldError[] };

/** Checks a manifest of one of our kinds as admission would, and fills in its defaults. */
export function validateManifest<T = unknown>(manifest: unknown): Validated<T> {
  const head = z.looseObject({ apiVersion: z.string(), kind: z.string() }).safeParse(manifest);
  if (!head.success) return { ok: false, errors: fieldErrors(head.error) };
  const crd = KINDS.find((kind) => kind.kind === head.data.kind);
  if (head.data.apiVersion !== API_VERSION || crd === undefined) {
    const known = KINDS.map((kind) => kind.kind).join(", ");
    const message = `${head.data.apiVersion} ${head.data.kind} is not a kind of ours; use apiVersion ${API_VERSION} and one of: ${known}`;
    return { ok: false, errors: [{ field: "kind", message }] };
  }
  const name = z
    .string()
    .max(NAME_LIMIT, NAME_RULE.message)
    .regex(/^[a-z]([-a-z0-9]*[a-z0-9])?$/, NAME_RULE.message);
  const schema = z.looseObject({ metadata: z.looseObject({ name }), spec: crd.spec });
  const parsed = schema.safeParse(manifest);
  if (!parsed.success) return { ok: false, errors: fieldErrors(parsed.error) };
  // The schema of `crd` is the one that T is inferred from.
  return { ok: true, value: parsed.data as T };
}
