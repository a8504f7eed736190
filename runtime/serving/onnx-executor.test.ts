import "../engine/test-realm.ts";
import { mkdtemp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OnnxModel, type OnnxNode, type OnnxType, writeOnnx } from "../compiler/onnx/file.ts";
import { ProtobufWriter } from "../compiler/protobuf.ts";
import { openExecutor } from "./choose-executor.ts";
import type { Datatype, Tensor, TensorData } from "./tensor.ts";

const node = (operation: string, inputs: string[], outputs: string[], rest: Partial<OnnxNode> = {}): OnnxNode => ({
  operation,
  name: `${operation}_0`,
  inputs,
  outputs,
  ...rest,
});

/** y = x, of any datatype. */
const same = (type: OnnxType, shape: readonly number[] = [-1, 2]): OnnxModel => ({
  name: "same",
  inputs: [{ name: "x", type, shape }],
  outputs: [{ name: "y", type, shape }],
  nodes: [node("Identity", ["x"], ["y"])],
  weights: [],
});

const floats = (shape: readonly number[], ...values: number[]): Tensor[] => [
  { name: "x", datatype: "FP32", shape, data: Float32Array.from(values) },
];

const text = (value: string) => new TextEncoder().encode(value);

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "onnx-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function open(bytes: Uint8Array, engine: "Auto" | "TensorFlow" | "OnnxRuntime" = "Auto") {
  await writeFile(join(dir, "model.onnx"), bytes);
  return openExecutor({ dir, shownAs: "pvc://models/m", engine, threads: 1 });
}

describe("An ONNX model", () => {
  it("is computed by ONNX Runtime, with the signature that its file tells", async () => {
    const model = await open(
      writeOnnx({
        ...same("float32"),
        nodes: [node("Gemm", ["x", "w"], ["y"])],
        outputs: [{ name: "y", type: "float32", shape: [-1, 3] }],
        weights: [{ name: "w", type: "float32", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
      }),
    );
    expect([model.engine, model.device]).toEqual(["OnnxRuntime", "CPU"]);
    expect(model.signature).toEqual({
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1, 3] }],
    });
    const [y] = await model.infer(floats([2, 2], 1, 0, 1, 1));
    expect([y?.shape, [...((y?.data ?? []) as Float32Array)]]).toEqual([[2, 3], [1, 2, 3, 5, 7, 9]]); // prettier-ignore
  });

  it.each<[OnnxType, Datatype, TensorData]>([
    ["float32", "FP32", Float32Array.of(0.1, -Infinity)],
    ["float64", "FP64", Float64Array.of(0.1, 1e300)],
    ["float16", "FP16", Uint16Array.of(0x3c00, 0xc000)],
    ["int64", "INT64", BigInt64Array.of(-9223372036854775808n, 9007199254740993n)],
    ["uint64", "UINT64", BigUint64Array.of(18446744073709551615n, 1n)],
    ["int32", "INT32", Int32Array.of(-2147483648, 7)],
    ["uint32", "UINT32", Uint32Array.of(4294967295, 7)],
    ["int16", "INT16", Int16Array.of(-32768, 7)],
    ["uint16", "UINT16", Uint16Array.of(65535, 7)],
    ["int8", "INT8", Int8Array.of(-128, 7)],
    ["uint8", "UINT8", Uint8Array.of(255, 7)],
    ["bool", "BOOL", Uint8Array.of(1, 0)],
    ["string", "BYTES", [text("Grüße 🙂"), text("")]],
  ])("gives %s back exactly", async (type, datatype, data) => {
    const model = await open(writeOnnx(same(type)));
    expect(model.signature.inputs[0]?.datatype).toBe(datatype);
    const [y] = await model.infer([{ name: "x", datatype, shape: [1, 2], data }]);
    expect(y).toEqual({ name: "y", datatype, shape: [1, 2], data });
  });

  it("refuses bytes that are no text as the caller's fault", async () => {
    const model = await open(writeOnnx(same("string", [-1])));
    const inputs: Tensor[] = [{ name: "x", datatype: "BYTES", shape: [1], data: [Uint8Array.of(0xff)] }];
    await expect(model.infer(inputs)).rejects.toMatchObject({ reason: "DataRejected" });
  });

  it("finds out the shape of an output for which its file tells none", async () => {
    const outputs = [{ name: "y", type: "float32" as const }];
    const model = await open(writeOnnx({ ...same("float32"), outputs }));
    expect(model.signature.outputs).toEqual([{ name: "y", datatype: "FP32", shape: [-1, 2] }]);
  });

  it("says when an index in the inputs was wrong", async () => {
    const model = await open(
      writeOnnx({
        ...same("int64", [-1]),
        nodes: [node("Gather", ["w", "x"], ["y"])],
        outputs: [{ name: "y", type: "float32", shape: [-1] }],
        weights: [{ name: "w", type: "float32", shape: [2], data: Float32Array.of(5, 6) }],
      }),
    );
    const ask = (index: bigint) =>
      model.infer([{ name: "x", datatype: "INT64", shape: [1], data: BigInt64Array.of(index) }]);
    expect((await ask(1n))[0]?.data).toEqual(Float32Array.of(6));
    await expect(ask(9n)).rejects.toMatchObject({ reason: "DataRejected" });
  });

  it("is refused by engines that cannot compute it, with the remedy", async () => {
    await expect(open(writeOnnx(same("float32")), "TensorFlow")).rejects.toThrow(/set Auto or OnnxRuntime/);
  });

  it("may keep weights in files beside it", async () => {
    await writeFile(join(dir, "weights.bin"), new Float32Array([0, 10, 20]));
    const model = await open(external({ location: "weights.bin", offset: "4", length: "8" }));
    const [y] = await model.infer(floats([1, 2], 1, 1));
    expect(y?.data).toEqual(Float32Array.of(11, 21));
  });
});

/** y = x + w, where w [2] lies elsewhere. */
function external(entries: Record<string, string>): Uint8Array {
  const weight = new ProtobufWriter().integers(1, [2]).integer(2, 1).string(8, "w");
  for (const [key, value] of Object.entries(entries))
    weight.message(13, new ProtobufWriter().string(1, key).string(2, value));
  return added(weight.integer(14, 1));
}

const value = (name: string) => {
  const shape = new ProtobufWriter()
    .message(1, new ProtobufWriter().string(2, "n"))
    .message(1, new ProtobufWriter().integer(1, 2));
  const tensor = new ProtobufWriter().integer(1, 1).message(2, shape);
  return new ProtobufWriter().string(1, name).message(2, new ProtobufWriter().message(1, tensor));
};

/** y = x + w, where w is the tensor message. */
function added(weight: ProtobufWriter): Uint8Array {
  const add = new ProtobufWriter().string(1, "x").string(1, "w").string(2, "y").string(4, "Add");
  const graph = new ProtobufWriter().message(1, add).string(2, "g").message(5, weight);
  graph.message(11, value("x")).message(12, value("y"));
  const opset = new ProtobufWriter().string(1, "").integer(2, 21);
  return new ProtobufWriter().integer(1, 10).message(7, graph).message(8, opset).finish();
}

const tensor = (dims: (number | bigint)[], type = 1) =>
  new ProtobufWriter().integers(1, dims).integer(2, type).string(8, "w");
const custom = (rest: Partial<OnnxNode>) => ({ ...same("float32"), nodes: [node("Steal", ["x"], ["y"], rest)] });
const deep = () => {
  let graph = new ProtobufWriter().string(2, "g");
  for (let level = 0; level < 100; level++) {
    const attribute = new ProtobufWriter().string(1, "body").message(6, graph).integer(20, 5);
    graph = new ProtobufWriter().message(1, new ProtobufWriter().string(4, "Loop").message(5, attribute));
  }
  return new ProtobufWriter().integer(1, 10).message(7, graph).finish();
};

describe("A hostile ONNX file is refused with the reason:", () => {
  it.each<[string, () => Uint8Array, RegExp]>([
    ["weights in a folder above", () => external({ location: "../secret" }), /only files in its own folder/],
    ["weights at an absolute path", () => external({ location: "/etc/passwd" }), /only files in its own folder/],
    ["weights at a URL", () => external({ location: "http://169.254.169.254/x" }), /only files in its own folder/],
    ["weights behind a link", () => external({ location: "link" }), /no file in the model's folder/],
    ["weights behind a linked folder", () => external({ location: "folder/passwd" }), /no file in the model's folder/],
    ["weights after the end of their file", () => external({ location: "short", offset: "4" }), /where it has fewer/],
    ["a part of another length", () => external({ location: "short", length: "4" }), /takes 8 bytes/],
    ["an offset that is no number", () => external({ location: "short", offset: "NaN" }), /from NaN on/],
    ["a huge weight", () => added(tensor([2 ** 31, 2 ** 31])), /fewer values in the file than its shape says/],
    ["a weight of negative size", () => added(tensor([-1])), /has the shape \[-1\]/],
    ["a weight of no type", () => added(tensor([1], 99)), /ONNX type 99, which does not exist/],
    ["fewer bytes than the shape says", () => added(tensor([2]).bytes(9, new Uint8Array(4))), /takes 8 bytes/],
    ["code of its own", () => writeOnnx(custom({ domain: "evil.ops" })), /evil.ops.Steal, which is code of its own/],
    ["an operation that does not exist", () => writeOnnx(custom({})), /ONNX Runtime refuses it/],
    [
      "an operation that reads files",
      () => writeOnnx({ ...same("float32"), nodes: [node("EPContext", ["x"], ["y"], { domain: "com.microsoft" })] }),
      /reads other files/,
    ],
    ["graphs in graphs in graphs", deep, /nested more than 64 levels/],
    ["no graph", () => new ProtobufWriter().integer(1, 10).finish(), /holds no graph/],
    ["no protobuf", () => new TextEncoder().encode("<html>"), /is no ONNX model/],
    ["a cut file", () => writeOnnx(same("float32")).subarray(0, -5), /is no ONNX model/],
    ["nothing", () => new Uint8Array(), /holds no graph/],
  ])("%s", async (_, bytes, reason) => {
    await symlink("/etc/passwd", join(dir, "link"));
    await symlink("/etc", join(dir, "folder"));
    await writeFile(join(dir, "short"), new Uint8Array(8));
    const opening = open(bytes());
    await expect(opening).rejects.toMatchObject({ reason: "ModelUnsupported" });
    await expect(opening).rejects.toThrow(reason);
  });

  it("two models in one folder", async () => {
    await mkdir(join(dir, "x"));
    await writeFile(join(dir, "model.h5"), "");
    await expect(open(writeOnnx(same("float32")))).rejects.toThrow(/model.h5 and model.onnx; keep one of them/);
  });
});
