/** Reads an HDF5 file that lies in memory. */
import { Attribute, Dataset, File, Group, ready } from "h5wasm";
import { HDF5_LIMITS, type Hdf5Content, type Hdf5Request, type Weight } from "./hdf5.ts";

/** The file is not read; the message says why. */
export class Refused extends Error {}

const TEXT_ATTRIBUTES = /^(model_config|keras_version|layer_names\d*|weight_names\d*)$/;

function texts(attribute: Attribute): string[] {
  const { shape, value } = attribute;
  const count = (shape ?? []).reduce((product, size) => product * size, 1);
  if (count > HDF5_LIMITS.names) throw new Refused(`has ${count} names in ${attribute.name}`);
  if (count === 0) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.map((one) => {
    if (typeof one === "string") return one;
    if (one instanceof Uint8Array) return new TextDecoder().decode(one);
    throw new Refused(`has no text in ${attribute.name}`);
  });
}

function halfToSingle(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Little-endian names of what Keras writes, as numpy has them. */
const READERS: Record<string, (bytes: ArrayBuffer) => Float32Array> = {
  "<e": (bytes) => Float32Array.from(new Uint16Array(bytes), halfToSingle),
  "<f": (bytes) => new Float32Array(bytes),
  "<d": (bytes) => Float32Array.from(new Float64Array(bytes)),
  "<i": (bytes) => Float32Array.from(new Int32Array(bytes)),
  "<q": (bytes) => Float32Array.from(new BigInt64Array(bytes), Number),
};

const BYTES: Record<string, number> = { "<e": 2, "<f": 4, "<d": 8, "<i": 4, "<q": 8 };

class Reader {
  readonly content: Hdf5Content = { attributes: {}, weights: {} };
  readonly #bytesLimit: number;
  #objects = 0;
  #bytes = 0;

  constructor(bytesLimit: number) {
    this.#bytesLimit = bytesLimit;
  }

  /** `path` of the root is empty. */
  group(group: Group, path: string, depth: number): void {
    if (depth > HDF5_LIMITS.depth) throw new Refused(`has groups nested more than ${HDF5_LIMITS.depth} levels deep`);
    for (const [name, attribute] of Object.entries(group.attrs)) {
      if (TEXT_ATTRIBUTES.test(name)) this.content.attributes[`${path}@${name}`] = texts(attribute);
    }
    for (const key of group.keys()) {
      this.#objects += 1;
      if (this.#objects > HDF5_LIMITS.objects) throw new Refused(`has more than ${HDF5_LIMITS.objects} objects`);
      const below = path === "" ? key : `${path}/${key}`;
      // What the optimizer knew is of no use to a model that answers.
      if (below === "optimizer_weights" || below === "optimizer") continue;
      const entity = group.get(key);
      if (entity instanceof Group) this.group(entity, below, depth + 1);
      else if (entity instanceof Dataset) this.content.weights[below] = this.#dataset(entity, below);
      else throw new Refused(`has a link at ${below}, and links are not followed`);
    }
  }

  #dataset(dataset: Dataset, path: string): Weight {
    const { dtype, metadata } = dataset;
    const shape = dataset.shape ?? [];
    const size = typeof dtype === "string" ? BYTES[dtype] : undefined;
    const read = typeof dtype === "string" ? READERS[dtype] : undefined;
    if (size === undefined || read === undefined || metadata.virtual_sources !== undefined) {
      throw new Refused(
        `has values of type ${JSON.stringify(dtype)} at ${path}, which is none of float16, float32, float64, int32, int64`,
      );
    }
    const count = shape.reduce((product, length) => product * length, 1);
    // An unwritten or packed dataset may be far larger than its file.
    this.#bytes += count * size;
    if (!Number.isSafeInteger(count) || this.#bytes > this.#bytesLimit) {
      throw new Refused(`declares more than ${this.#bytesLimit} bytes of weights (at ${path}, [${shape.join(", ")}])`);
    }
    if (count === 0) return { shape, data: new Float32Array() };
    const raw = shape.length === 0 ? dataset.value : dataset.slice(shape.map(() => []));
    const data = typed(raw, dtype === "<e", shape, count);
    return { shape, data: data instanceof Float32Array ? data : read(data) };
  }
}

/** Values as h5wasm gives them: a typed array, or one number for a scalar. */
function typed(raw: unknown, half: boolean, shape: readonly number[], count: number): ArrayBuffer | Float32Array {
  if (shape.length === 0) return Float32Array.of(Number(raw));
  if (raw instanceof Float32Array && raw.length === count) return raw.slice();
  if (!ArrayBuffer.isView(raw)) throw new Refused("has values that cannot be read");
  const bytes = new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength).slice().buffer;
  if (bytes.byteLength === 0 || (half && bytes.byteLength !== count * 2))
    throw new Refused("has values that cannot be read");
  return bytes;
}

/** Throws Refused, and what the library throws when a file is damaged. */
export async function readContent({ bytes, bytesLimit }: Hdf5Request): Promise<Hdf5Content> {
  const { FS } = await ready;
  // The file lies in memory: links and external storage lead nowhere.
  const withoutCopy = { flags: "w", canOwn: true };
  FS.writeFile("/model.h5", bytes, withoutCopy);
  const file = new File("/model.h5", "r");
  if (file.file_id < 0n) throw new Refused("is no HDF5 file, or was cut off");
  try {
    const reader = new Reader(bytesLimit);
    reader.group(file, "", 0);
    return reader.content;
  } finally {
    file.close();
  }
}
