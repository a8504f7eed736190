/** Writes protobuf's wire format (protobuf.dev, Encoding); fields appear in the order of the calls. */

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
const FIXED64 = 1;

function varint(value: number | bigint): Uint8Array {
  // Negative numbers are written as 64 bits in two's complement.
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function concatenated(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    all.set(chunk, offset);
    offset += chunk.length;
  }
  return all;
}

export class ProtobufWriter {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  /** int32, int64, uint32, uint64, bool and enums. Throws RangeError for what is no whole number. */
  integer(field: number, value: number | bigint | boolean): this {
    return this.#tag(field, VARINT).#push(varint(typeof value === "boolean" ? Number(value) : value));
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#tag(field, FIXED32).#push(bytes);
  }

  double(field: number, value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.#tag(field, FIXED64).#push(bytes);
  }

  string(field: number, text: string): this {
    return this.bytes(field, new TextEncoder().encode(text));
  }

  /** The bytes are not copied before `finish`. */
  bytes(field: number, data: Uint8Array): this {
    return this.#tag(field, LENGTH_DELIMITED).#push(varint(data.length)).#push(data);
  }

  /** A message in this one. */
  message(field: number, inner: ProtobufWriter): this {
    this.#tag(field, LENGTH_DELIMITED).#push(varint(inner.#length));
    for (const chunk of inner.#chunks) this.#push(chunk);
    return this;
  }

  /** A repeated field of whole numbers, packed. */
  integers(field: number, values: readonly (number | bigint)[]): this {
    const chunks = values.map((value) => varint(value));
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    return this.bytes(field, concatenated(chunks, length));
  }

  /** An entry of a map whose keys are strings and whose values are messages. */
  entry(field: number, key: string, value: ProtobufWriter): this {
    return this.message(field, new ProtobufWriter().string(1, key).message(2, value));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return concatenated(this.#chunks, this.#length);
  }

  #tag(field: number, wire: number): this {
    return this.#push(varint(field * 8 + wire));
  }

  #push(chunk: Uint8Array): this {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    return this;
  }
}
