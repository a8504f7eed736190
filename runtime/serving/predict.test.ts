import * as fc from "fast-check";
import { chosenSignature, parsePredictDocument, readPrediction, writePrediction } from "./predict.ts";
import { RequestError } from "./request-error.ts";
import type { Signature, Tensor } from "./tensor.ts";

const pairs: Signature = {
  inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
  outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
};
const scalars: Signature = { ...pairs, inputs: [{ name: "x", datatype: "FP32", shape: [-1] }] };
const integers: Signature = { ...pairs, inputs: [{ name: "n", datatype: "INT32", shape: [-1] }] };
const flags: Signature = { ...pairs, inputs: [{ name: "f", datatype: "BOOL", shape: [-1] }] };
const two: Signature = {
  ...pairs,
  inputs: [
    { name: "b", datatype: "FP32", shape: [-1] },
    { name: "a", datatype: "FP32", shape: [-1, 2] },
  ],
};

function read(body: string, signature: Signature = pairs) {
  const document = parsePredictDocument(body, signature);
  return readPrediction(document, "m", chosenSignature(document.members, signature).signature);
}

function plain(tensor: Tensor | undefined) {
  return { name: tensor?.name, shape: tensor?.shape, data: [...(tensor?.data ?? [])] };
}

function message(body: string, signature?: Signature): string {
  try {
    read(body, signature);
  } catch (error) {
    if (error instanceof RequestError && error.status === 400) return error.message;
  }
  throw new Error(`${body} was not refused with 400`);
}

describe("predict requests", () => {
  it.each([
    ['{"instances":[[1,2],[3,4]]}', "row", [2, 2], [1, 2, 3, 4]],
    ['{"signature_name":"serving_default","inputs":[[1,2]]}', "columnar", [1, 2], [1, 2]],
    ['{"instances":[{"x":[1,2]}]}', "row", [1, 2], [1, 2]],
    ['{"inputs":{"x":[[1,2]],"extra":1}}', "columnar", [1, 2], [1, 2]],
    ['{"instances":[[1,2]], "other": {}}garbage', "row", [1, 2], [1, 2]],
    ['{"instances":[[NaN,-Infinity]]}', "row", [1, 2], [Number.NaN, -Infinity]],
  ])("reads %s", (body, format, shape, data) => {
    const prediction = read(body);
    expect(prediction.format).toBe(format);
    expect(prediction.inputs.map(plain)).toEqual([{ name: "x", shape, data }]);
  });

  it("reads scalars as a list of rows", () => {
    expect(read('{"instances":[1.0,2.0,5.0]}', scalars).inputs.map(plain)).toEqual([
      { name: "x", shape: [3], data: [1, 2, 5] },
    ]);
  });

  it("reads several inputs in the signature's order", () => {
    const expected = [
      { name: "b", shape: [2], data: [3, 6] },
      { name: "a", shape: [2, 2], data: [1, 2, 4, 5] },
    ];
    const rows = '{"instances":[{"a":[1,2],"b":3},{"b":6,"a":[4,5]}]}';
    expect(read(rows, two).inputs.map(plain)).toEqual(expected);
    expect(read('{"inputs":{"a":[[1,2],[4,5]],"b":[3,6]}}', two).inputs.map(plain)).toEqual(expected);
  });

  it("takes integers and booleans only as such", () => {
    expect(read('{"instances":[1,-2147483648]}', integers).inputs.map(plain)[0]?.data).toEqual([1, -2147483648]);
    expect(read('{"instances":[true,false]}', flags).inputs.map(plain)[0]?.data).toEqual([1, 0]);
    expect(message('{"instances":[1.0]}', integers)).toContain("Type: Number is not of expected type: int32");
    expect(message('{"instances":[2147483648]}', integers)).toContain("is not of expected type: int32");
    expect(message('{"instances":[1]}', flags)).toContain("is not of expected type: bool");
  });

  it.each([
    ["", "JSON Parse error: The document is empty"],
    ["instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"],
    ["[1,2]", "JSON Value: [1,2] Is not object"],
    [
      '{"signature_name":100}',
      "JSON Value: {\"signature_name\":100} not formatted correctly. 'signature_name' key must be a string value.",
    ],
    ['{"signature_name":"X","instances":[1]}', 'Serving signature name: "X" not found in signature def'],
    ["{}", "Missing 'inputs' or 'instances' key"],
    [
      '{"instances":[1],"inputs":[1]}',
      "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
    ],
    ['{"instances":1}', "JSON Value: 1 Expecting 'instances' to be an list/array"],
    ['{"instances":[]}', "JSON Value: [] No values in 'instances' array"],
    [
      '{"instances":["x","y"]}',
      "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"x\" Type: String is not of expected type: float",
    ],
    ['{"instances":[[1,2],{"x":[1,2]}]}', "Expecting value/list but got object at item 1 of input list"],
    ['{"instances":[{"x":[1,2]},[1,2]]}', "Expecting object but got list at item 1 of input list"],
    ['{"instances":[[1,2],[3]]}', "Expecting tensor size: 2 but got: 1"],
    ['{"instances":[[[1],[2]],[[1,2]]]}', "Expecting shape [2,1] but got: [1,2]"],
    ['{"instances":[[[1,2],[3]]]}', "Encountered list at unexpected size: 1 at level: 1 expected size: 2"],
    ['{"inputs":[[1,2],3]}', "JSON Value: 3 found at incorrect level: 1"],
    ['{"inputs":[1,[2]]}', "Encountered list at unexpected level: 1"],
    ['{"instances":[{"b64":"AA=="}]}', "Type: Object is not of expected type: float"],
    ['{"instances":[[1e39,0]]}', "is not of expected type: float"],
    ['{"instances":[[1,2,3]]}', "unexpected shape for input 'x' for model 'm'. Expected [-1,2], got [1,3]"],
  ])("refuses %s", (body, text) => {
    expect(message(body)).toContain(text);
  });

  it.each([
    ['{"instances":[1,2]}', "instances is a plain list, but expecting list of objects as multiple input tensors"],
    ['{"inputs":[1,2]}', "inputs is a plain value/list, but expecting an object as multiple input tensors"],
    ['{"inputs":{"a":[[1,2]]}}', "Missing named input: b in 'inputs' object."],
    [
      '{"instances":[{"a":[1,2]}]}',
      "Failed to process element: 0 of 'instances' list. JSON object: {\"a\":[1,2]} keys must be equal to: a,b",
    ],
    [
      '{"instances":[{"a":[1,2],"c":1}]}',
      "Failed to process element: 0 key: c of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have named input: c",
    ],
  ])("refuses %s of a model with two inputs", (body, text) => {
    expect(message(body, two)).toContain(text);
  });

  it("takes the signature that is named", () => {
    const choose = (name: string) => chosenSignature({ signature_name: name }, pairs, { other: scalars });
    expect(choose("other")).toEqual({ name: "other", signature: scalars });
    expect(choose("serving_default")).toEqual({ signature: pairs });
    expect(() => choose("toString")).toThrow("not found in signature def");
  });

  it("cuts quoted JSON at 256 bytes", () => {
    expect(message(`[${"1,".repeat(1000)}1]`).length).toBeLessThan(300);
  });

  it("is refused or read, never anything else, whatever the body", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.json().map((json) => `{"instances":${json}}`),
          fc.string(),
        ),
        (body) => {
          try {
            read(body);
          } catch (error) {
            expect(error).toBeInstanceOf(RequestError);
          }
        },
      ),
    );
  });
});

describe("predict answers", () => {
  const y: Tensor = { name: "y", datatype: "FP32", shape: [2, 2], data: new Float32Array([0.1, 2, Number.NaN, -0.5]) };
  const n: Tensor = { name: "n", datatype: "INT32", shape: [2], data: new Int32Array([7, -1]) };
  const f: Tensor = { name: "f", datatype: "BOOL", shape: [2], data: new Uint8Array([1, 0]) };

  it("unwraps a single output", () => {
    expect(writePrediction("row", [y])).toBe('{"predictions":[[0.1,2.0],[NaN,-0.5]]}');
    expect(writePrediction("columnar", [y])).toBe('{"outputs":[[0.1,2.0],[NaN,-0.5]]}');
  });

  it("names several outputs", () => {
    expect(writePrediction("row", [n, f])).toBe('{"predictions":[{"n":7,"f":true},{"n":-1,"f":false}]}');
    expect(writePrediction("columnar", [n, f])).toBe('{"outputs":{"n":[7,-1],"f":[true,false]}}');
  });

  it("refuses rows that cannot be told apart", () => {
    const scalar: Tensor = { name: "s", datatype: "FP32", shape: [], data: new Float32Array(1) };
    const long: Tensor = { name: "l", datatype: "INT32", shape: [3], data: new Int32Array(3) };
    expect(() => writePrediction("row", [scalar])).toThrow("Tensor name: s has no shape information ");
    expect(() => writePrediction("row", [n, long])).toThrow(
      "Tensor name: l has inconsistent batch size: 3 expecting: 2",
    );
  });

  it("gives back what was sent, through both formats", () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 1, maxLength: 20 }), (values) => {
        const data = new Float32Array(values.map((value) => (Object.is(value, -0) ? 0 : value)));
        const tensor: Tensor = { name: "x", datatype: "FP32", shape: [data.length], data };
        const text = writePrediction("row", [tensor]).replace("predictions", "instances");
        expect(read(text, scalars).inputs[0]?.data).toEqual(data);
      }),
    );
  });
});
