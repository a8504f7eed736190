/** Where models come from: one that is named, or a folder that holds many. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ServingRun } from "../../crds/contract/run.ts";
import { MANIFEST_FILE } from "../../crds/contract/names.ts";
import { Failure } from "../failure.ts";

export interface VersionSource {
  /** A whole number, as text. */
  readonly version: string;
  readonly revision: string;
  /** Local folder. */
  readonly dir: string;
  /** How messages call it. */
  readonly uri: string;
  readonly digest?: string | undefined;
  /** Why it cannot be served, when that is known already. */
  readonly problem?: Failure | undefined;
}

export interface ModelSource {
  readonly name: string;
  readonly versions: readonly VersionSource[];
  /** Version by label. */
  readonly labels: Readonly<Record<string, string>>;
  readonly compute: ServingRun["compute"];
  /** Batches, queue, warm-up and processing. */
  readonly settings?: ServingRun["settings"];
}

/** The version of a model that has no versions: the one that clients expect. */
export const ONLY_VERSION = "1";

/** Any of these makes a folder a model. */
const MODEL_FILES: ReadonlySet<string> = new Set([
  MANIFEST_FILE,
  "model.json",
  "model.keras",
  "model.h5",
  "model.onnx",
  "saved_model.pb",
]);
const VERSION_FOLDER = /^(0|[1-9]\d{0,17})$/;

interface Listing {
  readonly isModel: boolean;
  readonly folders: readonly string[];
}

async function list(dir: string): Promise<Listing> {
  const info = await stat(dir).catch(() => undefined);
  if (info?.isDirectory() !== true) {
    throw new Failure(
      "InputMissing",
      `${dir} is no folder; give the folder of a model, or one that holds such folders`,
    );
  }
  const entries = await readdir(dir, { withFileTypes: true });
  return {
    isModel: entries.some((entry) => MODEL_FILES.has(entry.name)),
    folders: entries
      .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith("."))
      .map(({ name }) => name)
      .sort(),
  };
}

function isVersioned({ isModel, folders }: Listing): boolean {
  return !isModel && folders.length > 0 && folders.every((folder) => VERSION_FOLDER.test(folder));
}

/** A model that is one folder, or has a folder for each version. */
export async function modelAt(
  name: string,
  dir: string,
  compute: ServingRun["compute"],
  uri: string = dir,
): Promise<ModelSource> {
  const listing = await list(dir);
  const versions = isVersioned(listing)
    ? listing.folders.map((version) => versionAt(name, version, join(dir, version), `${uri}/${version}`))
    : [versionAt(name, ONLY_VERSION, dir, uri)];
  return { name, versions, labels: {}, compute };
}

function versionAt(name: string, version: string, dir: string, uri: string): VersionSource {
  return { version, revision: `${name}-${version}`.slice(0, 63), dir, uri };
}

/**
 * The models of a folder: the folder itself when it holds a model (or its versions), else each folder in it. What is no model is listed
 * too, with its problem. Throws Failure InputMissing.
 */
export async function modelsIn(
  dir: string,
  compute: ServingRun["compute"],
  name: string | undefined,
): Promise<ModelSource[]> {
  const listing = await list(dir);
  if (name !== undefined || listing.isModel || isVersioned(listing)) {
    return [await modelAt(name ?? basename(dir), dir, compute)];
  }
  // One without folders is a model whose files are missing: loading it says so.
  if (listing.folders.length === 0) return [await modelAt(basename(dir), dir, compute)];
  return Promise.all(listing.folders.map((folder) => modelAt(folder, join(dir, folder), compute)));
}

/** A name by which clients ask for a version, such as `stable`. */
export interface VersionLabel {
  readonly model: string;
  readonly label: string;
  readonly version: string;
}

/** The models with their labels. Throws Failure InvalidSpec for a label of what is not there. */
export function labelled(models: readonly ModelSource[], labels: readonly VersionLabel[]): ModelSource[] {
  for (const { model, label, version } of labels) {
    const versions = models.find(({ name }) => name === model)?.versions.map((one) => one.version) ?? [];
    if (versions.includes(version)) continue;
    const there = versions.length === 0 ? "there is no such model" : `it has ${versions.join(", ")}`;
    throw new Failure("InvalidSpec", `label ${label} names version ${version} of model ${model}; ${there}`);
  }
  return models.map((source) => {
    const own = labels.filter(({ model }) => model === source.name);
    return { ...source, labels: Object.fromEntries(own.map(({ label, version }) => [label, version])) };
  });
}
