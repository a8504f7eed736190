/** Whatever bytes are read as data, they become finite numbers or a DataRejected. */
import { array, assert, asyncProperty, float, integer, nat, record as recordOf, uint8Array } from "fast-check";
import { Failure } from "../failure.ts";
import { readArrays } from "./array-file.ts";
import { inMemory } from "./byte-source.ts";
import { crc32c } from "./crc32c.ts";
import { parseCsv } from "./csv.ts";
import type { Examples } from "./dataset.ts";
import { ExampleWriter } from "./example-writer.ts";
import { openIdx } from "./idx.ts";
import { parseJsonl } from "./jsonl.ts";
import { openNpy } from "./npy.ts";
import { parseTfRecord, record } from "./tf-record.ts";
import { ProtobufWriter } from "../compiler/protobuf.ts";

const options = { source: "a", label: "label" };

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** A row of as many numbers as all others. */
const rows = integer({ min: 1, max: 5 }).chain((width) =>
  array(array(float({ noNaN: true, noDefaultInfinity: true }), { minLength: width, maxLength: width }), {
    minLength: 1,
    maxLength: 9,
  }),
);

const jsonl = (values: number[][]) =>
  values.map((row, index) => `${JSON.stringify({ x: row.map((v) => v || 0), label: index })}\n`).join("");

function tfRecord(values: number[][]): Uint8Array {
  const records = values.map((row, index) => {
    const floats = new ProtobufWriter().bytes(1, new Uint8Array(Float32Array.from(row).buffer));
    const integers = new ProtobufWriter().integers(1, [index]);
    const feature = new ProtobufWriter()
      .entry(1, "x", new ProtobufWriter().message(2, floats))
      .entry(1, "label", new ProtobufWriter().message(3, integers));
    const message = new ProtobufWriter().message(1, feature).finish();
    return record(message);
  });
  return Buffer.concat(records);
}

function npy(values: number[][]): Uint8Array {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${values.length}, ${values[0]?.length ?? 0}), }\n`;
  const head = Buffer.alloc(10);
  head.write("\x93NUMPY\x01\x00", "latin1");
  head.writeUInt16LE(header.length, 8);
  return Buffer.concat([head, Buffer.from(header), new Uint8Array(Float32Array.from(values.flat()).buffer)]);
}

const labelsOf = (values: number[][]) => npy(values.map((_, index) => [index]));

const FORMATS: Record<
  string,
  { write: (v: number[][]) => Uint8Array; read: (b: Uint8Array, v: number[][]) => Promise<Examples> }
> = {
  Csv: {
    write: (values) => {
      const header = [...(values[0] ?? []).map((_, index) => `c${index}`), "label"];
      return Buffer.from(
        [header, ...values.map((row, index) => [...row, index])].map((row) => row.join()).join("\r\n"),
      );
    },
    read: (bytes) => parseCsv(pieces(bytes, 5), options, new ExampleWriter(Infinity)),
  },
  Jsonl: {
    write: (values) => Buffer.from(jsonl(values)),
    read: (bytes) => parseJsonl(pieces(bytes, 5), options, new ExampleWriter(Infinity)),
  },
  TfRecord: {
    write: tfRecord,
    read: (bytes) => parseTfRecord(inMemory(bytes), options, new ExampleWriter(Infinity)),
  },
  Npy: {
    write: npy,
    read: async (bytes, values) => {
      const features = await openNpy(inMemory(bytes), "a");
      const labels = await openNpy(inMemory(labelsOf(values)), "b");
      return readArrays({ features, labels }, new ExampleWriter(Infinity));
    },
  },
};

const without = (value: number) => (value === 0 ? 0 : value);

describe.each(Object.entries(FORMATS))("%s", (_, { write, read }) => {
  it("gives back the numbers that were written", async () => {
    await assert(
      asyncProperty(rows, async (values) => {
        const examples = await read(write(values), values);
        expect(Array.from(examples.features as Float32Array, without)).toEqual(values.flat().map(without));
        expect(Array.from(examples.labels)).toEqual(values.map((_, index) => index));
      }),
      { numRuns: 40 },
    );
  });

  it("refuses what is damaged, or reads numbers from it, and never fails in another way", async () => {
    const change = recordOf({ at: nat(), byte: integer({ min: 0, max: 255 }), keep: nat() });
    await assert(
      asyncProperty(rows, change, async (values, { at, byte, keep }) => {
        const bytes = Uint8Array.from(write(values));
        bytes[at % bytes.length] = byte;
        await judge(() => read(bytes.subarray(0, 1 + (keep % bytes.length)), values));
      }),
      { numRuns: 150 },
    );
  });
});

/** Numbers, or a Failure that says whose fault it is. */
async function judge(read: () => Promise<Examples>): Promise<void> {
  try {
    const { features, labels } = await read();
    expect([...(features as Float32Array), ...labels].every(Number.isFinite)).toBe(true);
  } catch (error) {
    expect(error).toBeInstanceOf(Failure);
    expect(error).toMatchObject({ reason: "DataRejected", exitCode: 65 });
  }
}

it("whatever the bytes are, each format reads or refuses them", async () => {
  const openers = { Idx: openIdx, Npy: openNpy };
  await assert(
    asyncProperty(uint8Array({ maxLength: 80 }), async (bytes) => {
      for (const { read } of [FORMATS["Csv"], FORMATS["Jsonl"], FORMATS["TfRecord"]].filter((f) => f !== undefined)) {
        await judge(() => read(bytes, []));
      }
      for (const open of Object.values(openers)) {
        await judge(async () => {
          const file = await open(inMemory(bytes), "a");
          return readArrays({ features: file, labels: file }, new ExampleWriter(Infinity));
        });
      }
    }),
    { numRuns: 100 },
  );
});

it("CRC-32C is that of RFC 3720", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
});

it.each([
  ["no JSON", '{"x": 1, "label": 0}\n{"x": secret}\n', /a line 2: is no JSON/],
  ["no object", "[1]\n", /line 1: is no JSON object/],
  [
    "a value of another form",
    '{"x": [1, 2], "label": 0}\n\n{"x": [1], "label": 0}',
    /line 3: "x" is no list of numbers of the form \[2\]/,
  ],
  ["a missing column", '{"x": 1, "label": 0}\n{"label": 0}', /line 2: there is no column "x"/],
  ["text", '{"x": "secret", "label": 0}', /line 1: "x" is neither a number nor a list of numbers/],
  ["a number too large", '{"x": 1e300, "label": 0}', /line 1: "x" is no number that float32 can hold/],
  ["nothing", "\n\n", /has no examples/],
])("JSON Lines with %s are refused by file, line and column, and no value is told", async (_, text, message) => {
  const result = parseJsonl(pieces(Buffer.from(text), 7), options, new ExampleWriter());
  await expect(result).rejects.toMatchObject({ reason: "DataRejected" });
  await expect(result).rejects.toThrow(message);
  await expect(result).rejects.not.toThrow(/secret/);
});

it("nested lists of JSON Lines are the shape of an example, and lists the shape of a label", async () => {
  const text = '{"x": [[1, 2], [3, 4]], "label": [0, 1]}\n';
  const { exampleShape, labelShape } = await parseJsonl(pieces(Buffer.from(text), 9), options, new ExampleWriter());
  expect({ exampleShape, labelShape }).toEqual({ exampleShape: [2, 2], labelShape: [2] });
});
