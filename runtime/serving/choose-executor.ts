/** Decides what computes a model, by its format and by what was asked for. */
import { type Backend, openBackend } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { ONNX_FILE, SAVED_MODEL_FILE, modelFileIn } from "../formats/model.ts";
import { readOnnx } from "../formats/onnx/model-file.ts";
import type { Executor } from "./executor.ts";
import type { ModelToLoad } from "./inference-engine.ts";
import { compileFolder } from "./onnx-compiler.ts";
import { openOnnxFolder, openOnnxModel } from "./onnx-executor.ts";
import { openSavedModel } from "./saved-model-executor.ts";
import { openTfjs } from "./tfjs-executor.ts";

/** Loads the model on the engine that suits it best, fastest first. Throws Failure. */
export async function openExecutor(model: ModelToLoad): Promise<Executor> {
  const file = await modelFileIn(model.dir, model.shownAs);
  if (file === ONNX_FILE) return openOnnx(model);
  if (file === SAVED_MODEL_FILE) return openSavedModel(model);
  const { engine, threads, gpu, shownAs } = model;
  if (engine === "OnnxRuntime") {
    refuseGpu(model);
    const compiled = await openCompiled(model);
    if (typeof compiled !== "string") return compiled;
    throw new Failure(
      "ModelUnsupported",
      `runtime.engine: OnnxRuntime cannot compute ${shownAs}: ${compiled}; set Auto, TensorFlow or Wasm`,
    );
  }
  if (engine !== "Auto") return openTfjs(await openBackend(engine, { threads, gpu }), model);
  if (gpu === undefined) return openFastest(model, () => openBackend(engine, { threads }));
  const backend = await openBackend(engine, { threads, gpu });
  // The GPU that was asked for is not there, and need not be.
  return backend.device === "CPU" ? openFastest(model, () => Promise.resolve(backend)) : openTfjs(backend, model);
}

/** On the CPU ONNX Runtime is the fastest; what it cannot compute, the other engines do. */
async function openFastest(model: ModelToLoad, openOther: () => Promise<Backend>): Promise<Executor> {
  const compiled = await openCompiled(model);
  if (typeof compiled !== "string") return compiled;
  const executor = await openTfjs(await openOther(), model);
  return { ...executor, why: `not on ONNX Runtime: ${compiled}; ${executor.why ?? ""}` };
}

/** The model compiled for ONNX Runtime, or why it is not. Throws Failure when it cannot be loaded by any engine. */
async function openCompiled(model: ModelToLoad): Promise<Executor | string> {
  const { dir, shownAs, threads } = model;
  const compiled = await compileFolder({ dir, shownAs, threads });
  if (typeof compiled === "string") return compiled;
  const { bytes, signature, format, difference } = compiled;
  try {
    const executor = await openOnnxModel(bytes, readOnnx(bytes, shownAs), shownAs, threads);
    const why = `compiled to ONNX, its answers differ by at most ${difference.toExponential(1)}`;
    return { ...executor, signature, format, why };
  } catch (error) {
    if (error instanceof Failure) return error.message;
    throw error;
  }
}

function openOnnx(model: ModelToLoad): Promise<Executor> {
  const { engine, shownAs } = model;
  if (engine !== "Auto" && engine !== "OnnxRuntime") {
    throw new Failure(
      "InvalidSpec",
      `runtime.engine: ${engine} computes no ONNX models, and ${shownAs} is one; set Auto or OnnxRuntime`,
    );
  }
  refuseGpu(model);
  return openOnnxFolder(model);
}

function refuseGpu({ gpu }: ModelToLoad): void {
  if (gpu?.onMissing !== "Fail") return;
  throw new Failure(
    "GpuNotVisible",
    "A GPU was asked for, but ONNX Runtime computes on the CPU; remove gpu or set gpu.onMissing to UseCpu",
  );
}
