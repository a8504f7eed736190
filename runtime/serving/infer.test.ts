import * as fc from "fast-check";
import { JSON_LENGTH_HEADER, readInfer, writeInfer } from "./infer.ts";
import { RequestError } from "./request-error.ts";
import type { Datatype, Signature, Tensor } from "./tensor.ts";

const signature: Signature = {
  inputs: [
    { name: "x", datatype: "FP32", shape: [-1, 2] },
    { name: "f", datatype: "BOOL", shape: [-1] },
    { name: "n", datatype: "INT32", shape: [-1] },
  ],
  outputs: [
    { name: "y", datatype: "FP32", shape: [-1, 2] },
    { name: "k", datatype: "INT32", shape: [-1] },
  ],
};
const single: Signature = { inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }], outputs: signature.outputs };

function inputs(parts: Record<string, object> = {}): object[] {
  return [
    { name: "x", datatype: "FP32", shape: [2, 2], data: [1, 2, 3, 4], ...parts["x"] },
    { name: "f", datatype: "BOOL", shape: [2], data: [true, false], ...parts["f"] },
    { name: "n", datatype: "INT32", shape: [2], data: [7, 8], ...parts["n"] },
  ];
}

function read(document: object, binary?: Buffer, from = signature) {
  const json = Buffer.from(JSON.stringify(document));
  return readInfer(Buffer.concat([json, binary ?? Buffer.alloc(0)]), binary && String(json.length), "m", from);
}

function only(input: object, binary?: Buffer) {
  const { inputs } = read({ inputs: [{ name: "x", ...input }] }, binary, single);
  return [...(inputs[0]?.data ?? [])];
}

function names(outputs: unknown): string[] {
  return read({ inputs: inputs(), outputs }).outputs.map((output) => output.name);
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof RequestError && error.status === 400) return error.message;
    throw error;
  }
  throw new Error("it was not refused");
}

function of(datatype: Datatype): Signature {
  return {
    inputs: [{ name: "x", datatype, shape: [-1] }],
    outputs: [{ name: "y", datatype, shape: [-1] }],
  };
}

function give(model: Datatype, datatype: string, data: string) {
  const json = `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${data.split(",").length}],"data":[${data}]}]}`;
  return [...(readInfer(Buffer.from(json), undefined, "m", of(model)).inputs[0]?.data ?? [])];
}

describe("datatypes", () => {
  const request = { outputs: [{ name: "y", binary: false }] };

  it("keeps 64-bit integers exact in both directions", () => {
    expect(give("INT64", "INT64", "9223372036854775807,-9223372036854775808,5")).toEqual([
      2n ** 63n - 1n,
      -(2n ** 63n),
      5n,
    ]);
    expect(give("UINT64", "UINT64", "18446744073709551615")).toEqual([2n ** 64n - 1n]);
    expect(() => give("INT64", "UINT64", "9223372036854775808")).toThrow("fits the model's INT64");
    const data = new BigInt64Array([2n ** 63n - 1n]);
    const { body } = writeInfer({ name: "m" }, request, [{ name: "y", datatype: "INT64", shape: [1], data }]);
    expect(body.toString()).toContain('"data":[9223372036854775807]');
  });

  it("casts by the declared policy and refuses what would not fit", () => {
    expect(give("UINT8", "INT64", "0,255")).toEqual([0, 255]);
    expect(() => give("UINT8", "INT16", "256")).toThrow("whole numbers from 0 to 255");
    expect(() => give("INT8", "FP32", "1")).toThrow("cannot be converted");
    expect(give("FP64", "INT64", "9007199254740992")).toEqual([2 ** 53]);
    expect(() => give("FP64", "INT64", "9007199254740993")).toThrow("fits the model's FP64");
    expect(give("FP16", "FP32", "1,65504")).toEqual([0x3c00, 0x7bff]);
    expect(() => give("FP16", "FP32", "70000")).toThrow("fits the model's FP16");
    expect(give("BF16", "FP32", "1,-2.5")).toEqual([0x3f80, 0xc020]);
  });

  it("takes and gives BYTES as strings and as length-prefixed bytes", () => {
    expect(give("BYTES", "BYTES", '"a","é"').map((item) => Buffer.from(item as Uint8Array).toString())).toEqual([
      "a",
      "é",
    ]);
    const bytes = Buffer.from([1, 0, 0, 0, 0xff, 0, 0, 0, 0]);
    const input = { name: "x", datatype: "BYTES", shape: [2], parameters: { binary_data_size: bytes.length } };
    const { inputs } = read({ inputs: [input] }, bytes, of("BYTES"));
    expect(inputs[0]?.data).toEqual([Buffer.from([255]), Buffer.alloc(0)]);
    const tensor: Tensor = { name: "y", datatype: "BYTES", shape: [2], data: inputs[0]?.data ?? [] };
    const binary = writeInfer({ name: "m" }, { outputs: [{ name: "y", binary: true }] }, [tensor]);
    expect(binary.body.subarray(-bytes.length)).toEqual(bytes);
    expect(() => writeInfer({ name: "m" }, request, [tensor])).toThrow("no UTF-8");
    const cut = { ...input, parameters: { binary_data_size: 8 } };
    expect(() => read({ inputs: [cut] }, bytes.subarray(0, 8), of("BYTES"))).toThrow("does not fit into the data");
  });
});

describe("infer requests", () => {
  it("reads flat and nested data alike, in the signature's order", () => {
    const [x, f, n] = inputs();
    const flat = read({ id: "42", parameters: {}, inputs: [n, x, f] });
    const nested = read({ id: "42", inputs: inputs({ x: { data: [[1, 2], [3, 4]] } }) }); // prettier-ignore
    expect(flat).toEqual(nested);
    expect(flat.id).toBe("42");
    expect(flat.inputs.map(({ name, shape, data }) => [name, shape, [...data]])).toEqual([
      ["x", [2, 2], [1, 2, 3, 4]],
      ["f", [2], [1, 0]],
      ["n", [2], [7, 8]],
    ]);
  });

  it("answers all outputs unless some are asked for, in the order asked", () => {
    expect(names(undefined)).toEqual(["y", "k"]);
    expect(names([])).toEqual(["y", "k"]);
    expect(names([{ name: "k" }, { name: "y" }])).toEqual(["k", "y"]);
    expect(names([{ name: "k" }])).toEqual(["k"]);
  });

  it("lets binary_data of an output beat binary_data_output of the request", () => {
    const { outputs } = read({
      parameters: { binary_data_output: true },
      inputs: inputs(),
      outputs: [{ name: "y", parameters: { binary_data: false } }, { name: "k" }],
    });
    expect(outputs).toEqual([
      { name: "y", binary: false },
      { name: "k", binary: true },
    ]);
  });

  it("reads the timeout in microseconds", () => {
    expect(read({ inputs: inputs(), parameters: { timeout: 1500 } }).timeoutMicroseconds).toBe(1500);
    expect(read({ inputs: inputs(), parameters: { timeout: 0 } }).timeoutMicroseconds).toBeUndefined();
    expect(refusal(() => read({ inputs: inputs(), parameters: { timeout: "1" } }))).toContain("'timeout'");
  });

  it("mixes JSON and binary tensors; bytes follow in the order of the binary ones, unaligned, beside multibyte text", () => {
    const x = Buffer.from(new Float32Array([1.5, 2.5, -3, 4]).buffer);
    const n = Buffer.from(new BigInt64Array([5n, -6n]).buffer);
    const request = read(
      {
        id: "é€😀",
        inputs: inputs({
          x: { data: undefined, parameters: { binary_data_size: 16 } },
          n: { data: undefined, datatype: "INT64", parameters: { binary_data_size: 16 } },
        }),
      },
      Buffer.concat([x, n]),
    );
    expect(request.inputs.map(({ data }) => [...data])).toEqual([[1.5, 2.5, -3, 4], [1, 0], [5, -6]]); // prettier-ignore
    expect(request.id).toBe("é€😀");
  });

  it.each([
    ["UINT8", new Uint8Array([0, 255])],
    ["INT8", new Int8Array([-128, 127])],
    ["UINT16", new Uint16Array([0, 65535])],
    ["INT16", new Int16Array([-32768, 32767])],
    ["UINT32", new Uint32Array([0, 16777216])],
    ["INT32", new Int32Array([-16777216, 16777216])],
    ["UINT64", new BigUint64Array([0n, 16777216n])],
    ["INT64", new BigInt64Array([-16777216n, 16777216n])],
    ["FP32", new Float32Array([Number.NaN, -Infinity])],
    ["FP64", new Float64Array([0.5, Number.NaN])],
  ])("takes %s for FP32, as JSON where it has a form and as bytes", (datatype, values) => {
    const numbers = Array.from<number | bigint, number>(values as ArrayLike<number | bigint>, Number);
    const bytes = Buffer.from(values.buffer);
    expect(only({ datatype, shape: [1, 2], parameters: { binary_data_size: bytes.length } }, bytes)).toEqual(numbers);
    if (numbers.every(Number.isFinite)) expect(only({ datatype, shape: [1, 2], data: numbers })).toEqual(numbers);
  });

  it("takes half floats as bytes", () => {
    const half = Buffer.from(new Uint16Array([0x3c00, 0xc100]).buffer);
    const brain = Buffer.from(new Uint16Array([0x3f80, 0xc020]).buffer);
    const parameters = { binary_data_size: 4 };
    expect(only({ datatype: "FP16", shape: [1, 2], parameters }, half)).toEqual([1, -2.5]);
    expect(only({ datatype: "BF16", shape: [1, 2], parameters }, brain)).toEqual([1, -2.5]);
  });

  it("takes a raw body as one row, and answers in bytes", () => {
    const request = readInfer(Buffer.from(new Float32Array([1, 2]).buffer), "0", "m", single);
    expect(request.inputs[0]).toMatchObject({ shape: [1, 2], data: new Float32Array([1, 2]) });
    expect(request.outputs.every((output) => output.binary)).toBe(true);
    expect(refusal(() => readInfer(Buffer.alloc(8), "0", "m", signature))).toContain("takes no raw request");
    expect(refusal(() => readInfer(Buffer.alloc(9), "0", "m", single))).toContain("unexpected size");
  });

  it.each<[string, object, string]>([
    ["no inputs", {}, "'inputs' must be a list"],
    ["an input too few", { inputs: inputs().slice(1) }, "'x' is missing"],
    ["an unknown input", { inputs: [...inputs(), { name: "z" }] }, "unexpected inference input 'z' for model 'm'"],
    ["an input twice", { inputs: [...inputs(), ...inputs()] }, "input 'x' is given twice"],
    ["an unknown output", { inputs: inputs(), outputs: [{ name: "z" }] }, "unexpected inference output 'z'"],
    ["an output twice", { inputs: inputs(), outputs: [{ name: "y" }, { name: "y" }] }, "asked for twice"],
    ["an id that is no string", { id: 1, inputs: inputs() }, "'id' must be a string"],
    ["parameters that nest", { parameters: { a: {} }, inputs: inputs() }, "parameter 'a' of the request"],
    [
      "another shape",
      { inputs: inputs({ x: { shape: [2, 3] } }) },
      "unexpected shape for input 'x' for model 'm'. Expected [-1,2], got [2,3]",
    ],
    ["a negative shape", { inputs: inputs({ x: { shape: [-1, 2] } }) }, "'shape' of input 'x'"],
    ["no rows", { inputs: inputs({ x: { shape: [0, 2], data: [] } }) }, "has no elements"],
    ["too few values", { inputs: inputs({ x: { data: [1, 2, 3] } }) }, "does not match its shape [2,2]"],
    ["other nesting", { inputs: inputs({ x: { data: [[1, 2, 3, 4]] } }) }, "does not match its shape [2,2]"],
    ["ragged nesting", { inputs: inputs({ x: { data: [1, 2, 3, [4]] } }) }, "does not match its shape [2,2]"],
    ["a value of another kind", { inputs: inputs({ x: { data: [1, 2, null, 4] } }) }, "element 2 of input 'x'"],
    ["a made-up shape", { inputs: inputs({ x: { shape: [1e9, 2], data: [] } }) }, "does not match its shape"],
    [
      "an unknown datatype",
      { inputs: inputs({ x: { datatype: "fp32" } }) },
      "is no datatype of the protocol; send FP32",
    ],
    ["bytes for floats", { inputs: inputs({ x: { datatype: "BYTES" } }) }, "BYTES cannot be converted"],
    [
      "floats for integers",
      { inputs: inputs({ n: { datatype: "FP32" } }) },
      "FP32 cannot be converted to it; send INT32",
    ],
    ["integers for booleans", { inputs: inputs({ f: { datatype: "UINT8" } }) }, "send BOOL"],
    ["a float that overflows", { inputs: inputs({ x: { datatype: "FP64", data: [1, 2, 1e39, 4] } }) }, "element 2"],
    ["a fraction as integer", { inputs: inputs({ n: { data: [1, 2.5] } }) }, "element 1 is no INT32"],
    [
      "an integer beyond its datatype",
      { inputs: inputs({ n: { datatype: "INT8", data: [1, 128] } }) },
      "from -128 to 127",
    ],
    [
      "an integer beyond the model's",
      { inputs: inputs({ n: { datatype: "INT64", data: [1, 2147483648] } }) },
      "element 1",
    ],
    [
      "an integer that float32 cannot hold",
      { inputs: inputs({ x: { datatype: "INT64", data: [1, 2, 3, 16777217] } }) },
      "from -16777216 to 16777216",
    ],
    [
      "half floats in JSON",
      { inputs: inputs({ x: { datatype: "FP16" } }) },
      "receiving FP16 data via JSON is not supported. Please use the binary data format for input x",
    ],
    [
      "a size without the header",
      { inputs: inputs({ x: { data: undefined, parameters: { binary_data_size: 16 } } }) },
      `must specify valid '${JSON_LENGTH_HEADER}' in request header and 'binary_data_size'`,
    ],
    [
      "data and a size",
      { inputs: inputs({ x: { parameters: { binary_data_size: 16 } } }) },
      "both 'data' and 'binary_data_size'",
    ],
  ])("refuses %s", (_, document, message) => {
    expect(refusal(() => read(document))).toContain(message);
  });

  it.each([
    [16, 12, "expecting 4 additional bytes for model 'm'"],
    [16, 20, "unexpected additional input data for model 'm'"],
    [12, 12, "[2,2] of FP32 are 16 bytes, got 12"],
  ])("refuses a declared size of %d with %d bytes", (declared, sent, message) => {
    const document = { inputs: inputs({ x: { data: undefined, parameters: { binary_data_size: declared } } }) };
    expect(refusal(() => read(document, Buffer.alloc(sent)))).toContain(message);
  });

  it.each(["abc", "-1", "1.5", ""])("refuses the header %j", (header) => {
    expect(refusal(() => readInfer(Buffer.from("{}"), header, "m", single))).toContain(
      `Unable to parse ${JSON_LENGTH_HEADER}`,
    );
  });

  it("refuses a header beyond the body, and bodies that are not JSON with advice on NaN", () => {
    expect(refusal(() => readInfer(Buffer.from("{}"), "3", "m", single))).toContain("should be in range (0, 2)");
    expect(refusal(() => readInfer(Buffer.from('{"inputs":[NaN]}'), undefined, "m", single))).toContain("binary data");
    expect(refusal(() => readInfer(Buffer.from("[]"), undefined, "m", single))).toContain("must be a JSON object");
  });

  it("is refused or read, never anything else, whatever the document", () => {
    const datatype = fc.constantFrom("FP32", "INT64", "BOOL", "FP16", "BYTES", "toString");
    const input = fc.record({
      name: fc.constantFrom("x", "y"),
      shape: fc.json().map(parse),
      datatype,
      data: fc.json().map(parse),
    });
    fc.assert(
      fc.property(fc.array(input, { maxLength: 2 }), (inputs) => {
        try {
          read({ inputs }, undefined, single);
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
        }
      }),
    );
  });
});

function parse(text: string): unknown {
  return JSON.parse(text);
}

function asJson(name: string) {
  return { name, binary: false };
}

function asBytes(name: string) {
  return { name, binary: true };
}

describe("infer answers", () => {
  const y: Tensor = { name: "y", datatype: "FP32", shape: [1, 2], data: new Float32Array([0.1, 2]) };
  const k: Tensor = { name: "k", datatype: "INT32", shape: [2], data: new Int32Array([7, -8]).subarray(0) };

  it("is plain JSON when nothing is binary, and echoes the id", () => {
    const { headers, body } = writeInfer({ name: "m" }, { id: 'a"b', outputs: [asJson("k"), asJson("y")] }, [y, k]);
    expect(headers).toEqual({ "Content-Type": "application/json" });
    expect(body.toString()).toBe(
      String.raw`{"model_name":"m","id":"a\"b","outputs":[{"name":"k","datatype":"INT32","shape":[2],"data":[7,-8]},{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.1,2.0]}]}`,
    );
  });

  it("tells the version only when the request named one, and no id that was not given", () => {
    const parsed = parse(writeInfer({ name: "m", version: "1" }, { outputs: [] }, []).body.toString());
    expect(parsed).toEqual({ model_name: "m", model_version: "1", outputs: [] });
  });

  it("puts bytes behind the JSON, whose length in bytes the header tells", () => {
    const { headers, body } = writeInfer({ name: "é" }, { outputs: [asBytes("y"), asJson("k")] }, [y, k]);
    const length = Number(headers[JSON_LENGTH_HEADER]);
    expect(headers["Content-Type"]).toBe("application/octet-stream");
    expect(parse(body.subarray(0, length).toString())).toMatchObject({
      outputs: [
        { name: "y", parameters: { binary_data_size: 8 } },
        { name: "k", data: [7, -8] },
      ],
    });
    expect(body.length).toBe(length + 8);
    expect(body.readFloatLE(length + 4)).toBe(2);
  });

  it("never writes null: NaN is refused in JSON with the way to get it, and passes as bytes", () => {
    const bad: Tensor = { ...y, data: new Float32Array([Number.NaN, 1]) };
    expect(refusal(() => writeInfer({ name: "m" }, { outputs: [asJson("y")] }, [bad]))).toContain('"binary_data":true');
    const { body } = writeInfer({ name: "m" }, { outputs: [asBytes("y")] }, [bad]);
    expect(body.readFloatLE(body.length - 8)).toBeNaN();
  });

  it("gives back every float32 that was sent, as JSON and as bytes", () => {
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(fc.array(finite, { minLength: 2, maxLength: 2 }), fc.boolean(), (values, binary) => {
        const data = new Float32Array(values);
        const echo: Tensor = { name: "x", datatype: "FP32", shape: [1, 2], data };
        const { headers, body } = writeInfer({ name: "m" }, { outputs: [{ name: "x", binary }] }, [echo]);
        const length = Number(headers[JSON_LENGTH_HEADER] ?? body.length);
        const request = Buffer.from(body.subarray(0, length).toString().replace('"outputs"', '"inputs"'));
        const again = readInfer(
          Buffer.concat([request, body.subarray(length)]),
          binary ? String(request.length) : undefined,
          "m",
          single,
        );
        expect(again.inputs[0]?.data).toEqual(data);
      }),
    );
  });
});
