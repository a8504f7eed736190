/** The examples of a training: what to learn from, to watch with, and to test with. */
import type { DataSource, Validation } from "../../crds/dataset.ts";
import type { TrainingRun } from "../../crds/contract/run.ts";
import { type Examples, split } from "../data/dataset.ts";
import { loadExamples } from "../data/load.ts";
import { Failure } from "../failure.ts";
import { filesDigest } from "../store/files.ts";

export interface Datasets {
  train: Examples;
  validation?: Examples;
  test?: Examples;
  /** Digest of the files with the training data. */
  digest: string;
}

function sourceOf(validation: Validation): DataSource | undefined {
  const { format } = validation;
  return format === undefined ? undefined : { ...validation, format };
}

/** Throws Failure DataRejected when an example has another shape than those of the training data. */
export function requireSameShape(train: Examples, other: Examples): void {
  const forms = [train, other].map(
    ({ exampleShape, labelShape = [] }) => `${exampleShape.join()}|${labelShape.join()}`,
  );
  if (forms[0] === forms[1]) return;
  throw new Failure(
    "DataRejected",
    `${other.source} has examples of shape [${other.exampleShape.join(", ")}], but ${train.source} of shape [${train.exampleShape.join(", ")}]; use data of the same form`,
  );
}

/** Throws Failure DataRejected when labels mean other classes than in the training data. */
function requireSameClasses({ source, classes = [] }: Examples, other: Examples): void {
  const { classes: found = classes } = other;
  if (found.length === classes.length && found.every((name, index) => name === classes[index])) return;
  throw new Failure("DataRejected", `${other.source} has other classes than ${source}; use folders of the same names`);
}

/** Throws Failure: InputMissing, DataRejected. */
export async function loadDatasets(
  declared: TrainingRun["training"]["dataset"],
  volumes: string,
  seed: number,
): Promise<Datasets> {
  const { dataset: all, files } = await loadExamples(declared.train, volumes, "spec.dataset.train");
  const datasets: Datasets = { train: all, digest: filesDigest(files) };
  const { validation } = declared;
  const source = validation === undefined ? undefined : sourceOf(validation);
  if (source !== undefined) {
    datasets.validation = (await loadExamples(source, volumes, "spec.dataset.validation")).dataset;
  } else if (validation?.split !== undefined) {
    Object.assign(datasets, split(all, validation.split, seed));
  }
  if (declared.test !== undefined)
    datasets.test = (await loadExamples(declared.test, volumes, "spec.dataset.test")).dataset;
  for (const other of [datasets.validation, datasets.test]) {
    if (other === undefined) continue;
    requireSameShape(datasets.train, other);
    requireSameClasses(datasets.train, other);
  }
  return datasets;
}
