/** Decides what computes a model, by its format and by what was asked for. */
import { openBackend } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { ONNX_FILE, modelFileIn } from "../formats/model.ts";
import type { Executor } from "./executor.ts";
import type { ModelToLoad } from "./inference-engine.ts";
import { openOnnxFolder } from "./onnx-executor.ts";
import { openTfjs } from "./tfjs-executor.ts";

/** Loads the model on the engine that suits it best. Throws Failure. */
export async function openExecutor(model: ModelToLoad): Promise<Executor> {
  const file = await modelFileIn(model.dir, model.shownAs);
  if (file === ONNX_FILE) return openOnnx(model);
  const { engine, threads, gpu } = model;
  if (engine === "OnnxRuntime") {
    throw new Failure(
      "InvalidSpec",
      `runtime.engine: OnnxRuntime computes ONNX models, ${model.shownAs} has ${file}; set Auto, TensorFlow or Wasm`,
    );
  }
  return openTfjs(await openBackend(engine, { threads, gpu }), model);
}

function openOnnx(model: ModelToLoad): Promise<Executor> {
  const { engine, gpu, shownAs } = model;
  if (engine !== "Auto" && engine !== "OnnxRuntime") {
    throw new Failure(
      "InvalidSpec",
      `runtime.engine: ${engine} computes no ONNX models, and ${shownAs} is one; set Auto or OnnxRuntime`,
    );
  }
  if (gpu?.onMissing === "Fail") {
    throw new Failure(
      "GpuNotVisible",
      "A GPU was asked for, but ONNX Runtime computes on the CPU; remove gpu or set gpu.onMissing to UseCpu",
    );
  }
  return openOnnxFolder(model);
}
