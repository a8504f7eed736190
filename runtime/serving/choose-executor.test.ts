import "../engine/test-realm.ts";
import { jest } from "@jest/globals";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { ServingEngineChoice } from "../../crds/common.ts";
import { openExecutor } from "./choose-executor.ts";
import { linear, writeLinearModel } from "./testing/models.ts";

// Each test starts a process with an engine in it, or two.
jest.setTimeout(60_000);

const CORPUS = join(import.meta.dirname, "../../test/corpus/keras");

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "choice-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function fromCorpus(name: string): Promise<void> {
  await writeFile(join(dir, "model.keras"), gunzipSync(await readFile(join(CORPUS, `${name}.keras.gz`))));
}

const open = (engine: ServingEngineChoice, gpu?: { onMissing: "Fail" | "UseCpu" }) =>
  openExecutor({ dir, shownAs: "pvc://models/m", engine, threads: 1, gpu });

describe("A layers model", () => {
  it.each<[ServingEngineChoice, string, RegExp]>([
    ["Auto", "OnnxRuntime", /^compiled to ONNX, its answers differ by at most/],
    ["OnnxRuntime", "OnnxRuntime", /^compiled to ONNX/],
    ["TensorFlow", "TensorFlow", /^compiled to a graph$/],
    ["Wasm", "Wasm", /^computed operation by operation$/],
  ])("with engine %s is computed by %s", async (choice, engine, why) => {
    await writeLinearModel(dir);
    const model = await open(choice);
    expect([model.engine, model.device, model.format]).toEqual([engine, "CPU", "TfjsLayers"]);
    expect(model.why).toMatch(why);
    const data = Float32Array.of(1, 2, 3, 4);
    const [y] = await model.infer([{ name: "x", datatype: "FP32", shape: [1, 4], data }]);
    expect([...((y?.data ?? []) as Float32Array)]).toEqual(linear([1, 2, 3, 4]));
    expect(y?.shape).toEqual([1, 3]);
  });

  it("that is not compiled is computed operation by operation, naming the layer", async () => {
    await fromCorpus("conv-lstm2d");
    const model = await open("Auto");
    expect(model.engine).toBe("TensorFlow");
    expect(model.why).toMatch(/not on ONNX Runtime: layer conv_lstm2d of class ConvLSTM2D: .*operation by operation/);
    await expect(open("OnnxRuntime")).rejects.toThrow(/OnnxRuntime cannot compute .*ConvLSTM2D.*set Auto/);
  });

  it("goes to the CPU's fastest engine when the GPU that was asked for may be missing and is", async () => {
    await writeLinearModel(dir);
    expect((await open("Auto", { onMissing: "UseCpu" })).engine).toBe("OnnxRuntime");
    await expect(open("Auto", { onMissing: "Fail" })).rejects.toMatchObject({ reason: "GpuNotVisible" });
    await expect(open("OnnxRuntime", { onMissing: "Fail" })).rejects.toMatchObject({ reason: "GpuNotVisible" });
  });

  it("that cannot be loaded says so, whatever the engine", async () => {
    await cp(import.meta.filename, join(dir, "model.json"));
    await expect(open("Auto")).rejects.toMatchObject({ reason: "ModelUnsupported" });
  });
});
