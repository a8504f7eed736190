/** Reads the examples that a manifest declares. */
import { type FileHandle, stat } from "node:fs/promises";
import { join } from "node:path";
import type { DataSource } from "../../crds/dataset.ts";
import { Failure } from "../failure.ts";
import { type FileRecord, listFiles, sha256OfFile } from "../store/files.ts";
import { resolveInput } from "../store/uri.ts";
import { type ArrayFile, readArrays } from "./array-file.ts";
import { type ByteSource, ofFile } from "./byte-source.ts";
import { type Columns, addCsv } from "./csv.ts";
import type { Dataset, Examples } from "./dataset.ts";
import { ExampleWriter, isInMemory } from "./example-writer.ts";
import { openUnpacked, unpackedBytes } from "./gzip.ts";
import { openIdx } from "./idx.ts";
import { readImageFolder } from "./image-folder.ts";
import { addJsonl } from "./jsonl.ts";
import { openNpy } from "./npy.ts";
import { readNpz } from "./npz.ts";
import { type ColumnOptions, RecordReader } from "./records.ts";
import { addTfRecord } from "./tf-record.ts";

export interface Loaded<E extends Examples = Examples> {
  dataset: E;
  /** The files that were read, by URI. */
  files: FileRecord[];
}

interface Place {
  uri: string;
  local: string;
}

interface Request {
  source: DataSource;
  volumes: string;
  /** Where the source is declared, such as `spec.dataset.train`. */
  field: string;
  writer: ExampleWriter;
}

type Format = DataSource["format"];

async function recordOf({ uri, local }: Place): Promise<FileRecord> {
  return { path: uri, bytes: (await stat(local)).size, sha256: await sha256OfFile(local) };
}

async function recordsOf(places: readonly Place[]): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for (const place of places) records.push(await recordOf(place));
  return records;
}

function missing(field: string): Failure {
  return new Failure("InvalidSpec", `${field} is missing; set it`);
}

/** The file or folder that a field of the source names. */
async function placeOf(
  { source, volumes, field }: Request,
  name: "uri" | "features" | "labels" | "weights",
  kind: "file" | "folder" = "file",
): Promise<Place> {
  const uri = source[name];
  if (uri === undefined) throw missing(`${field}.${name}`);
  const local = await resolveInput(uri, volumes, source);
  const is = (await stat(local)).isDirectory() ? "folder" : "file";
  if (is !== kind)
    throw new Failure("InputMissing", `${uri} (${field}.${name}) is a ${is}, no ${kind}; correct the URI`);
  return { uri, local };
}

function columnsOf({ source: { uri, label, columns, weight }, field }: Request): ColumnOptions {
  if (uri === undefined) throw missing(`${field}.uri`);
  if (label === undefined) throw missing(`${field}.label`);
  return { source: uri, label, columns, weight };
}

/** The file that `uri` names, or the files of the folder in the order of their names; those of Hadoop's writers begin with `_`. */
async function shardsOf({ source, volumes, field }: Request): Promise<Place[]> {
  const { uri } = source;
  if (uri === undefined) throw missing(`${field}.uri`);
  const local = await resolveInput(uri, volumes, source);
  if (!(await stat(local)).isDirectory()) return [{ uri, local }];
  const names = (await listFiles(local)).filter((name) => !/(^|\/)_/.test(name));
  if (names.length === 0)
    throw new Failure("InputMissing", `${uri} (${field}.uri) is a folder without files; correct the URI`);
  return names.map((name) => ({ uri: `${uri}/${name}`, local: join(local, name) }));
}

const streamOf = ({ local, uri }: Place) => unpackedBytes(local, uri);

/** What `read` makes of the files, which are open for so long. */
async function withFiles<T>(places: readonly Place[], read: (bytes: ByteSource[]) => Promise<T>): Promise<T> {
  const handles: FileHandle[] = [];
  try {
    for (const { local, uri } of places) handles.push(await openUnpacked(local, uri));
    return await read(await Promise.all(handles.map(ofFile)));
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

type OpenArray = (bytes: ByteSource, source: string) => Promise<ArrayFile>;

/** Examples, labels and weights in a file each. */
async function fromArrays(request: Request, openArray: OpenArray): Promise<Loaded> {
  const names = [
    "features",
    "labels",
    ...(request.source.weights === undefined ? [] : (["weights"] as const)),
  ] as const;
  const places = await Promise.all(names.map((name) => placeOf(request, name)));
  const dataset = await withFiles(places, async (bytes) => {
    const arrays = await Promise.all(bytes.map((each, index) => openArray(each, places[index]?.uri ?? "")));
    const [features, labels, weights] = arrays;
    if (features === undefined || labels === undefined) throw missing(request.field);
    return readArrays({ features, labels, weights }, request.writer);
  });
  return { dataset, files: await Promise.all(places.map(recordOf)) };
}

/** One file that holds all. */
async function fromFile(request: Request, read: (place: Place) => Promise<Examples>): Promise<Loaded> {
  const place = await placeOf(request, "uri");
  return { dataset: await read(place), files: [await recordOf(place)] };
}

async function fromImages(request: Request): Promise<Loaded> {
  const { uri, local } = await placeOf(request, "uri", "folder");
  const { image } = request.source;
  if (image === undefined) throw missing(`${request.field}.image`);
  const dataset = await readImageFolder(local, { image, source: uri }, request.writer);
  const paths = await listFiles(local);
  const files = await recordsOf(paths.map((path) => ({ uri: `${uri}/${path}`, local: join(local, path) })));
  return { dataset, files };
}

async function fromCsv(request: Request): Promise<Loaded> {
  const places = await shardsOf(request);
  const options = columnsOf(request);
  let columns: Columns | undefined;
  for (const place of places) {
    columns = await addCsv(streamOf(place), { ...options, source: place.uri }, request.writer, columns);
  }
  const exampleShape = [columns?.features.length ?? 0];
  return { dataset: request.writer.finish({ source: options.source, exampleShape }), files: await recordsOf(places) };
}

/** Records of one file after the other. */
async function fromRecords(
  request: Request,
  add: (place: Place, reader: RecordReader) => Promise<void>,
): Promise<Loaded> {
  const places = await shardsOf(request);
  const reader = new RecordReader(columnsOf(request), request.writer);
  for (const place of places) await add(place, reader);
  return { dataset: reader.finish(), files: await recordsOf(places) };
}

const READERS: Record<Format, (request: Request) => Promise<Loaded>> = {
  Csv: fromCsv,
  Jsonl: (request) => fromRecords(request, (place, reader) => addJsonl(streamOf(place), place.uri, reader)),
  TfRecord: (request) =>
    fromRecords(request, (place, reader) =>
      withFiles([place], async ([bytes]) => {
        if (bytes !== undefined) await addTfRecord(bytes, place.uri, reader);
      }),
    ),
  Idx: (request) => fromArrays(request, openIdx),
  Npy: (request) => fromArrays(request, openNpy),
  Npz: (request) =>
    fromFile(request, ({ uri, local }) => {
      const { columns, label, weight } = request.source;
      const features = columns ?? ["x_train", "x"];
      const labels = label === undefined ? ["y_train", "y"] : [label];
      return readNpz(local, { source: uri, features, labels, weight }, request.writer);
    }),
  ImageFolder: fromImages,
};

/** `field`: where the source is declared, such as `spec.dataset.train`. Throws Failure: InputMissing, DataRejected. */
export async function loadExamples(source: DataSource, volumes: string, field: string): Promise<Loaded> {
  return READERS[source.format]({ source, volumes, field, writer: new ExampleWriter() });
}

/** As loadExamples, with all examples in memory. */
export async function loadDataset(source: DataSource, volumes: string, field: string): Promise<Loaded<Dataset>> {
  const { dataset, files } = await READERS[source.format]({
    source,
    volumes,
    field,
    writer: new ExampleWriter(Infinity),
  });
  if (!isInMemory(dataset)) throw new RangeError("examples without a limit are in memory");
  return { dataset, files };
}
