import * as fc from "fast-check";
import { differs } from "./compare.ts";
import { comparable } from "./http-answer.ts";

const json = (body: string) => comparable({ status: 200, headers: { "Content-Type": "application/json" }, body });

function binary(values: number[]) {
  const data = new Float32Array(values);
  const head = `{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[${values.length}],"parameters":{"binary_data_size":${data.byteLength}}}]}`;
  return comparable({
    status: 200,
    headers: { "Inference-Header-Content-Length": String(head.length) },
    body: Buffer.concat([Buffer.from(head), Buffer.from(data.buffer)]),
  });
}

it("calls an answer equal to itself", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => !differs(value, structuredClone(value), 0)));
});

it("allows numbers to be off by the tolerance, absolutely below one and relatively above", () => {
  expect(differs([0.5, 1000], [0.5009, 1000.9], 0.001)).toBe(false);
  expect(differs([0.5], [0.502], 0.001)).toBe(true);
  expect(differs([1000], [1002], 0.001)).toBe(true);
});

it("finds other forms, texts and numbers that are none", () => {
  expect(differs({ a: [1] }, { a: [1, 2] }, 1)).toBe(true);
  expect(differs({ label: "cat" }, { label: "dog" }, 1)).toBe(true);
  expect(differs([Number.NaN], [1], 1)).toBe(true);
  expect(differs([Number.NaN], [Number.NaN], 0)).toBe(false);
  expect(differs({ a: 1 }, { a: 1, b: 1 }, 1)).toBe(true);
});

it("compares predictions, also those that JSON has no form for", () => {
  expect(differs(json('{"predictions":[[0.1,NaN]]}'), json('{"predictions":[[0.1,NaN]]}'), 0)).toBe(false);
  expect(differs(json('{"predictions":[[0.1]]}'), json('{"predictions":[[0.2]]}'), 0.01)).toBe(true);
});

it("compares tensors in bytes by their values, and does not look at names of versions", () => {
  expect(differs(binary([1, 2]), binary([1, 2.0001]), 0.001)).toBe(false);
  expect(differs(binary([1, 2]), binary([1, 3]), 0.001)).toBe(true);
  expect(differs(json('{"model_version":"1","id":"a"}'), json('{"model_version":"2"}'), 0)).toBe(false);
});
