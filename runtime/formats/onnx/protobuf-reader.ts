/** Reads protobuf's wire format (protobuf.dev, Encoding) without a schema; nothing is copied. */

/** The bytes are no protobuf message. */
export class ProtobufSyntaxError extends SyntaxError {
  override readonly name = "ProtobufSyntaxError";
}

export interface Field {
  readonly number: number;
  /** Of a field of whole numbers; as protobuf has them, in 64 bits without sign. */
  readonly integer?: bigint;
  /** Of strings, bytes, messages, packed numbers, and of numbers of fixed width. */
  readonly bytes?: Uint8Array;
}

const MAX_VARINT = 10;

/** The fields of a message in their order. Throws ProtobufSyntaxError. */
export function* fieldsOf(message: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let index = 0; index < MAX_VARINT; index++) {
      const byte = message[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufSyntaxError("a number does not end");
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - at) throw new ProtobufSyntaxError("a field ends after its message");
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    if (number === 0) throw new ProtobufSyntaxError("a field has the number 0");
    switch (Number(tag & 7n)) {
      case 0:
        yield { number, integer: varint() };
        break;
      case 1:
        yield { number, bytes: take(8) };
        break;
      case 2:
        yield { number, bytes: take(Number(varint())) };
        break;
      case 5:
        yield { number, bytes: take(4) };
        break;
      default:
        throw new ProtobufSyntaxError("a field is of a kind that is not used any more");
    }
  }
}

/** Whole numbers with sign of a repeated field, packed or not. */
export function integersOf({ integer, bytes }: Field): bigint[] {
  if (integer !== undefined) return [BigInt.asIntN(64, integer)];
  const values: bigint[] = [];
  let value = 0n;
  let shift = 0n;
  for (const byte of bytes ?? []) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    if (shift > 70n) throw new ProtobufSyntaxError("a number does not end");
    if (byte >= 0x80) continue;
    values.push(BigInt.asIntN(64, value));
    value = 0n;
    shift = 0n;
  }
  if (shift > 0n) throw new ProtobufSyntaxError("a number does not end");
  return values;
}

export function textOf({ bytes = new Uint8Array() }: Field): string {
  return new TextDecoder().decode(bytes);
}
