/** The examples of a training: what to learn from, to watch with, and to test with. */
import type { DataSource, Validation } from "../../crds/dataset.ts";
import type { TrainingRun } from "../../crds/contract/run.ts";
import { type Examples, split } from "../data/dataset.ts";
import { loadDataset } from "../data/load.ts";
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
  if (train.exampleShape.join() === other.exampleShape.join()) return;
  throw new Failure(
    "DataRejected",
    `${other.source} has examples of shape [${other.exampleShape.join(", ")}], but ${train.source} of shape [${train.exampleShape.join(", ")}]; use data of the same form`,
  );
}

/** Throws Failure: InputMissing, DataRejected. */
export async function loadDatasets(
  declared: TrainingRun["training"]["dataset"],
  volumes: string,
  seed: number,
): Promise<Datasets> {
  const { dataset: all, files } = await loadDataset(declared.train, volumes, "spec.dataset.train");
  const datasets: Datasets = { train: all, digest: filesDigest(files) };
  const { validation } = declared;
  const source = validation === undefined ? undefined : sourceOf(validation);
  if (source !== undefined) {
    datasets.validation = (await loadDataset(source, volumes, "spec.dataset.validation")).dataset;
  } else if (validation?.split !== undefined) {
    Object.assign(datasets, split(all, validation.split, seed));
  }
  if (declared.test !== undefined)
    datasets.test = (await loadDataset(declared.test, volumes, "spec.dataset.test")).dataset;
  for (const other of [datasets.validation, datasets.test]) {
    if (other !== undefined) requireSameShape(datasets.train, other);
  }
  return datasets;
}
