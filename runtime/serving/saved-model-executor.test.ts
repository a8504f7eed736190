import "../engine/test-realm.ts";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jest } from "@jest/globals";
import * as fc from "fast-check";
import { Failure } from "../failure.ts";
import { readSavedModel } from "../formats/saved-model/saved-model-file.ts";
import { openExecutor } from "./choose-executor.ts";

jest.setTimeout(60_000);

/** Made by TensorFlow (test/corpus/saved_models.py). */
const MODELS = join(import.meta.dirname, "../../test/corpus/saved-models");
const SHOWN = "pvc://models/m";

const open = (name: string, more: object = { allowSavedModel: true }) =>
  openExecutor({ dir: join(MODELS, name), shownAs: SHOWN, engine: "Auto", threads: 1, ...more });

const numbers = (values: bigint[]) =>
  ({ name: "numbers", datatype: "INT64", shape: [2, 3], data: BigInt64Array.from(values) }) as const;

describe("A SavedModel", () => {
  it("is refused unless it is allowed, telling why and how", async () => {
    await expect(open("kinds", {})).rejects.toMatchObject({
      reason: "ModelUnsupported",
      message: expect.stringMatching(/saved_model.pb: is a SavedModel, a program .* set runtime.allowSavedModel/),
    });
  });

  it("answers by TensorFlow as the signature says", async () => {
    const model = await open("half_plus_two/123");
    expect(model).toMatchObject({ engine: "TensorFlow", device: "CPU", format: "SavedModel" });
    expect(model.why).toBe("it is a SavedModel; who names no signature gets serving_default");
    expect(model.signature).toEqual({
      inputs: [{ name: "x", datatype: "FP32", shape: [-1] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
    });
    const x = { name: "x", datatype: "FP32", shape: [3], data: Float32Array.of(1, 2, 5) } as const;
    const [y] = await model.infer([x]);
    expect([...((y?.data ?? []) as Float32Array)]).toEqual([2.5, 3, 4.5]);
  });

  it("takes and gives whole numbers and truth values, those of 64 bits exactly", async () => {
    const warn = jest.spyOn(console, "warn").mockImplementation(() => {});
    const model = await open("kinds");
    expect(model.signature.inputs.map(({ name, datatype }) => [name, datatype])).toEqual([
      ["asked", "BOOL"],
      ["numbers", "INT64"],
    ]);
    const asked = { name: "asked", datatype: "BOOL", shape: [2], data: Uint8Array.of(1, 0) } as const;
    const outputs = await model.infer([asked, numbers([1n, 2n, 2n ** 40n, -4n, 9n, 0n])]);
    expect(outputs.map(({ name, data }) => [name, [...(data as BigInt64Array)]])).toEqual([
      ["largest", [2, 1]],
      ["not", [0, 1]],
      ["sum", [2n ** 40n + 3n, 5n]],
    ]);
    expect(warn).not.toHaveBeenCalled();
  });

  it("whose signature is not clear is refused, naming those that it has", async () => {
    await expect(open("unnamed")).rejects.toThrow(/has no signature serving_default, but (one, another|another, one)/);
  });

  it("is computed by no other engine", async () => {
    const engines = ["OnnxRuntime", "Wasm"];
    for (const engine of engines) {
      await expect(open("kinds", { allowSavedModel: true, engine })).rejects.toThrow(
        `${engine} computes no SavedModels`,
      );
    }
  });

  it("whose weights are missing fails when it computes, and one that is none is refused", async () => {
    const dir = await mkdtemp(join(tmpdir(), "saved-"));
    try {
      await cp(join(MODELS, "half_plus_two/123/saved_model.pb"), join(dir, "saved_model.pb"));
      const model = await open("", { allowSavedModel: true, dir });
      const x = { name: "x", datatype: "FP32", shape: [1], data: Float32Array.of(1) } as const;
      await expect(model.infer([x])).rejects.toThrow(/variable/i);
      await writeFile(join(dir, "saved_model.pb"), "no protobuf");
      await expect(open("", { allowSavedModel: true, dir })).rejects.toMatchObject({ reason: "ModelUnsupported" });
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it("that is damaged anywhere is refused or read, and nothing else happens", async () => {
    const bytes = await readFile(join(MODELS, "kinds/saved_model.pb"));
    fc.assert(
      fc.property(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 0, max: 255 }),
        fc.nat(bytes.length),
        (at, value, end) => {
          const damaged = Uint8Array.from(bytes.subarray(0, end));
          damaged[at] = value;
          try {
            const { served, signatures } = readSavedModel(damaged, SHOWN);
            expect(signatures[served]?.outputs.length).toBeGreaterThan(0);
          } catch (error) {
            expect(error).toBeInstanceOf(Failure);
          }
        },
      ),
    );
  });
});
