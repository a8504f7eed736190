import * as fc from "fast-check";
import { parse } from "protobufjs";
import { ProtobufWriter } from "./protobuf.ts";

const SCHEMA = `
syntax = "proto3";
message Inner { int64 size = 1; repeated int64 sizes = 2; }
message Outer {
  int64 whole = 1;
  bool flag = 2;
  float real = 3;
  string text = 4;
  bytes data = 5;
  Inner inner = 6;
  repeated Inner many = 16;
  map<string, Inner> named = 2000;
}`;
const Outer = parse(SCHEMA, { keepCase: true }).root.lookupType("Outer");

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const inner = fc.record({ size: int64, sizes: fc.array(int64, { maxLength: 5 }) });
const outer = fc.record({
  whole: int64,
  flag: fc.boolean(),
  real: fc.float({ noNaN: true }),
  text: fc.string({ unit: "binary" }),
  data: fc.uint8Array(),
  inner,
  many: fc.array(inner, { maxLength: 3 }),
  named: fc.dictionary(
    fc.string().filter((key) => key !== "__proto__"),
    inner,
    { maxKeys: 3, noNullPrototype: true },
  ),
});

type Inner = typeof inner extends fc.Arbitrary<infer T> ? T : never;
type Outer = typeof outer extends fc.Arbitrary<infer T> ? T : never;

const writeInner = ({ size, sizes }: Inner) => new ProtobufWriter().integer(1, size).integers(2, sizes);

function write({ whole, flag, real, text, data, inner, many, named }: Outer): Uint8Array {
  const writer = new ProtobufWriter()
    .integer(1, whole)
    .integer(2, flag)
    .float(3, real)
    .string(4, text)
    .bytes(5, data)
    .message(6, writeInner(inner));
  for (const one of many) writer.message(16, writeInner(one));
  for (const [key, one] of Object.entries(named)) writer.entry(2000, key, writeInner(one));
  return writer.finish();
}

/** As protobufjs shows a message: 64-bit numbers as text. */
const shownInner = ({ size, sizes }: Inner) => ({ size: String(size), sizes: sizes.map(String) });

it("what is written is what another implementation reads", () => {
  fc.assert(
    fc.property(outer, (message) => {
      const read = Outer.toObject(Outer.decode(write(message)), { longs: String, bytes: Array, defaults: true });
      expect(read).toEqual({
        ...message,
        whole: String(message.whole),
        data: Array.from(message.data),
        inner: shownInner(message.inner),
        many: message.many.map(shownInner),
        named: Object.fromEntries(Object.entries(message.named).map(([key, one]) => [key, shownInner(one)])),
      });
    }),
  );
});

it("a number that is not whole is refused", () => {
  expect(() => new ProtobufWriter().integer(1, 0.5)).toThrow(RangeError);
});
