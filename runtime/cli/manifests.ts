/** Reads manifests from YAML files. */
import { readFile } from "node:fs/promises";
import { parseAllDocuments } from "yaml";
import { type FieldError, validateManifest } from "../../crds/kinds.ts";
import type { ModelDeployment } from "../../crds/model-deployment.ts";
import type { OptimizationJob } from "../../crds/optimization-job.ts";
import type { TrainingJob } from "../../crds/training-job.ts";
import { Failure, systemCode } from "../failure.ts";

export type Manifest = TrainingJob | OptimizationJob | ModelDeployment;

/** A document of a file, checked. */
export interface Checked {
  file: string;
  manifest?: Manifest;
  errors: FieldError[];
}

async function textOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: unknown) => {
    throw new Failure("InputMissing", `${file} cannot be read (${systemCode(cause) ?? "unknown"}); correct the path`, {
      cause,
    });
  });
}

/** Checks all documents of `file` as admission would. Throws Failure: InputMissing, InvalidSpec (no YAML). */
export async function checkManifests(file: string): Promise<Checked[]> {
  const documents = parseAllDocuments(await textOf(file));
  if (!Array.isArray(documents) || documents.length === 0) throw new Failure("InvalidSpec", `${file} has no manifest`);
  return documents.flatMap((document): Checked[] => {
    const [error] = document.errors;
    if (error !== undefined) throw new Failure("InvalidSpec", `${file} is no YAML: ${error.message}`, { cause: error });
    const value: unknown = document.toJS();
    if (value === null) return [];
    const checked = validateManifest<Manifest>(value);
    return [checked.ok ? { file, manifest: checked.value, errors: [] } : { file, errors: checked.errors }];
  });
}

export const errorLines = ({ file, errors }: Checked) =>
  errors.map(({ field, message }) => `${file}: ${field}: ${message}`);

/** The manifests of `files`. Throws Failure InvalidSpec naming the first wrong field. */
export async function readManifests(files: readonly string[]): Promise<Manifest[]> {
  const checked = (await Promise.all(files.map(checkManifests))).flat();
  return checked.map((one) => {
    if (one.manifest !== undefined) return one.manifest;
    throw new Failure("InvalidSpec", errorLines(one).join("\n"));
  });
}
