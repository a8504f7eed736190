/** The NPZ format of NumPy: a zip archive with an NPY file for each array. */
import { Failure } from "../failure.ts";
import { type Zip, openZip } from "../formats/keras/zip.ts";
import { type ArrayFile, readArrays } from "./array-file.ts";
import { inMemory } from "./byte-source.ts";
import type { Examples } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { openNpy } from "./npy.ts";
import { rejected } from "./rejected.ts";

export interface NpzOptions {
  /** Where it came from, for messages. */
  source: string;
  /** Names of the arrays; the first of these that is there. */
  features: readonly string[];
  labels: readonly string[];
  weight?: string | undefined;
}

/** Bytes of an unpacked array: it lies in memory while it is read. */
const LIMIT = 2 ** 32 - 1;
/** As much as deflate can shrink: a column of zeros does. */
const RATIO = 1100;

async function arrayIn(zip: Zip, names: readonly string[], source: string): Promise<ArrayFile> {
  const name = names.find((each) => zip.has(`${each}.npy`));
  if (name === undefined) {
    throw rejected(source, "", `has no array ${names.join(" or ")}; name the arrays in label, columns and weight`);
  }
  const bytes = await zip.read(`${name}.npy`, LIMIT);
  return openNpy(inMemory(bytes), `${source}/${name}`);
}

const refuse = (name: string, why: string, cause: unknown) =>
  new Failure("DataRejected", `${name}: ${why}; save it again with numpy.savez`, { cause });

/** Reads the NPZ file `path`. Throws Failure DataRejected. */
export async function readNpz(path: string, options: NpzOptions, writer: ExampleWriter): Promise<Examples> {
  const { source, weight } = options;
  const zip = await openZip(path, source, { ratio: RATIO, refuse });
  try {
    const features = await arrayIn(zip, options.features, source);
    const labels = await arrayIn(zip, options.labels, source);
    const weights = weight === undefined ? undefined : await arrayIn(zip, [weight], source);
    return await readArrays({ features, labels, weights }, writer);
  } finally {
    await zip.close();
  }
}
