/** Reads the examples that a manifest declares. */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { DataSource } from "../../crds/dataset.ts";
import type { Access } from "../../crds/location.ts";
import { Failure } from "../failure.ts";
import { type FileRecord, sha256OfFile } from "../store/files.ts";
import { resolveInput } from "../store/uri.ts";
import { parseCsv } from "./csv.ts";
import type { Dataset } from "./dataset.ts";
import { datasetOfIdx, parseIdx } from "./idx.ts";

export interface Loaded {
  dataset: Dataset;
  /** The files that were read, by URI. */
  files: FileRecord[];
}

async function record(uri: string, local: string): Promise<FileRecord> {
  return { path: uri, bytes: (await stat(local)).size, sha256: await sha256OfFile(local) };
}

async function localFile(
  uri: string | undefined,
  access: Access,
  volumes: string,
  field: string,
): Promise<{ uri: string; local: string }> {
  if (uri === undefined) throw new Failure("InvalidSpec", `${field} is missing; set it`);
  const local = await resolveInput(uri, volumes, access);
  if (!(await stat(local)).isFile()) throw new Failure("InputMissing", `${uri} (${field}) is no file; correct the URI`);
  return { uri, local };
}

/** `field`: where the source is declared, such as `spec.dataset.train`. Throws Failure: InputMissing, DataRejected. */
export async function loadDataset(source: DataSource, volumes: string, field: string): Promise<Loaded> {
  if (source.format === "Idx") {
    const features = await localFile(source.features, source, volumes, `${field}.features`);
    const labels = await localFile(source.labels, source, volumes, `${field}.labels`);
    const dataset = datasetOfIdx(
      parseIdx(await readFile(features.local), features.uri),
      parseIdx(await readFile(labels.local), labels.uri),
      { features: features.uri, labels: labels.uri },
    );
    return { dataset, files: [await record(features.uri, features.local), await record(labels.uri, labels.local)] };
  }
  const { uri, local } = await localFile(source.uri, source, volumes, `${field}.uri`);
  if (source.label === undefined)
    throw new Failure("InvalidSpec", `${field}.label is missing; name the column with the label`);
  const dataset = await parseCsv(createReadStream(local, { highWaterMark: 1 << 18 }), {
    source: uri,
    label: source.label,
    columns: source.columns,
  });
  return { dataset, files: [await record(uri, local)] };
}
