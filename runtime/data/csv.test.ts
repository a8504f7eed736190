import { parseCsv } from "./csv.ts";
import type { Dataset } from "./dataset.ts";
import { ExampleWriter } from "./example-writer.ts";

async function* bytes(text: string, size = 7): AsyncGenerator<Uint8Array> {
  const all = Buffer.from(text);
  for (let start = 0; start < all.length; start += size) yield all.subarray(start, start + size);
}

const parse = (text: string, columns?: string[], weight?: string) =>
  parseCsv(
    bytes(text),
    { source: "pvc://models/a.csv", label: "label", columns, weight },
    new ExampleWriter(Infinity),
    // In memory, as there is no limit.
  ) as Promise<Dataset>;

it("reads features and labels, whatever the order of columns, line ends and byte order mark", async () => {
  const dataset = await parse("\uFEFFa,label,b\r\n1,0,2.5\r\n-3e1,1, 4 \r\n");
  expect(dataset).toMatchObject({ count: 2, exampleShape: [2], source: "pvc://models/a.csv" });
  expect(Array.from(dataset.features)).toEqual([1, 2.5, -30, 4]);
  expect(Array.from(dataset.labels)).toEqual([0, 1]);
});

it("takes the columns that are named, in that order", async () => {
  const dataset = await parse("a,b,c,label\n1,2,3,0\n", ["c", "a"]);
  expect(Array.from(dataset.features)).toEqual([3, 1]);
});

it("takes a column for what examples count for, and none that is negative", async () => {
  const dataset = await parse("a,label,w\n1,0,0.5\n2,1,2\n", undefined, "w");
  expect(dataset.exampleShape).toEqual([1]);
  expect(Array.from(dataset.weights ?? [])).toEqual([0.5, 2]);
  await expect(parse("a,label,w\n1,0,-1\n", undefined, "w")).rejects.toThrow(/line 2: the weight is negative/);
});

it("refuses a specification that names a column twice", async () => {
  await expect(parse("a,label\n1,0\n", ["a", "label"])).rejects.toMatchObject({ reason: "InvalidSpec", exitCode: 64 });
});

it("reads quoted fields, also with line breaks, commas and quotes in them, and skips empty lines", async () => {
  const dataset = await parse('"a ""x"", y","label"\n\n"1","0"\n"\n2",1');
  expect(Array.from(dataset.features)).toEqual([1, 2]);
});

it.each([
  ["no number", "a,label\n1,0\nsecret,1\n", /a.csv line 3: column 1 is no number/],
  ["an empty field", "a,label\n1,\n", /line 2: column 2 is empty/],
  ["a number too large", "a,label\n1e300,0\n", /line 2: column 1 is no number that float32 can hold/],
  ["NaN", "a,label\nNaN,0\n", /line 2: column 1/],
  ["hexadecimal", "a,label\n0x10,0\n", /line 2: column 1/],
  ["too few fields", "a,b,label\n1,0\n", /line 2: there are 2 fields where the header has 3/],
  ["no label column", "a,b\n1,0\n", /line 1: there is no column "label"/],
  ["two label columns", "label,label\n1,0\n", /line 1: there are two columns "label"/],
  ["only a label", "label\n1\n", /no column besides the label/],
  ["no examples", "a,label\n", /has no examples/],
  ["nothing", "", /has no examples/],
  ["a quote that does not end", 'a,label\n"1,0\n1,1\n', /line 2: a quoted field does not end/],
  ["a quote in a field", 'a,label\n1"2",0\n', /line 2: quotes are misplaced/],
])("rejects %s, naming file, line and column but no value", async (_, text, message) => {
  await expect(parse(text)).rejects.toMatchObject({ reason: "DataRejected", exitCode: 65 });
  await expect(parse(text)).rejects.toThrow(message);
  await expect(parse(text)).rejects.not.toThrow(/secret/);
});

it("rejects text that is not UTF-8", async () => {
  const latin = (async function* () {
    yield Buffer.from([0x61, 0xe9, 0x0a]);
  })();
  await expect(parseCsv(latin, { source: "a.csv", label: "label" }, new ExampleWriter())).rejects.toThrow(/not UTF-8/);
});
