/** Opens what computes: TensorFlow (libtensorflow through tfjs-node) or WebAssembly, behind the one tfjs namespace. */
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import type { EngineChoice } from "../../crds/common.ts";
import { Failure } from "../failure.ts";
import { provideRemovedUtilities } from "./compatibility.ts";
import { registerWasmGradients } from "./wasm-gradients.ts";

/** The tfjs namespace; both engines offer it. */
export type Tf = typeof import("@tensorflow/tfjs");

export type EngineName = "TensorFlow" | "Wasm";

export interface Backend {
  tf: Tf;
  engine: EngineName;
  /** What really computes: `CPU`, or the model name of the GPU. */
  device: string;
  /** Threads of the engine. */
  threads: number;
  /** Versions of node, tfjs and libtensorflow. */
  versions: Record<string, string>;
  /** Why Auto did not take TensorFlow. */
  why?: string;
}

export interface BackendOptions {
  /** Threads of the engine; default: the processors that this process may use. Wasm always has one. */
  threads?: number | undefined;
  /** Present: a GPU was asked for. */
  gpu?: { onMissing: "Fail" | "UseCpu" } | undefined;
}

const require = createRequire(import.meta.url);

interface NodeBackend {
  /** True when the TensorFlow context lists a device of type GPU, which is then the one that it places on. */
  isUsingGpuDevice: boolean;
  binding: { TF_Version: string };
}

/** TensorFlow reads these once, when its library is loaded; what the pod's environment says wins. */
function setTensorFlowVariables(threads: number, gpu: boolean): void {
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2";
  process.env["TF_NUM_INTRAOP_THREADS"] ??= String(threads);
  process.env["TF_NUM_INTEROP_THREADS"] ??= String(threads);
  process.env["TF_FORCE_GPU_ALLOW_GROWTH"] ??= "true";
  // A library with CUDA takes every GPU that it sees. A pod that asked for none computes on the CPU; one that asked uses
  // its first, as tfjs-node copies through the last GPU of the list what is computed on the first.
  process.env["CUDA_VISIBLE_DEVICES"] ??= gpu ? "0" : "";
}

const DRIVER_GPUS = "/proc/driver/nvidia/gpus";

/** The GPU's name as the driver tells it. */
async function gpuModel(): Promise<string> {
  const gpus = await readdir(DRIVER_GPUS).catch(() => []);
  for (const gpu of gpus) {
    const information = await readFile(join(DRIVER_GPUS, gpu, "information"), "utf8").catch(() => "");
    const model = /^Model:\s*(.+)$/m.exec(information)?.[1];
    if (model !== undefined) return model.trim();
  }
  return "GPU";
}

async function openTensorFlow(threads: number, gpu: boolean): Promise<Backend> {
  provideRemovedUtilities();
  setTensorFlowVariables(threads, gpu);
  const tf = require("@tensorflow/tfjs-node-gpu") as Tf;
  await tf.setBackend("tensorflow");
  await tf.ready();
  // libtensorflow falls back to the CPU in silence; the device list of its own context is what tells.
  const backend = tf.backend() as unknown as NodeBackend;
  return {
    tf,
    engine: "TensorFlow",
    device: backend.isUsingGpuDevice ? await gpuModel() : "CPU",
    threads,
    versions: {
      node: process.versions.node,
      tfjs: tf.version["tfjs-core"],
      libtensorflow: backend.binding.TF_Version,
    },
  };
}

interface WasmModule {
  setWasmPaths(prefix: string): void;
}

async function openWasm(): Promise<Backend> {
  const tf = require("@tensorflow/tfjs") as Tf;
  const wasm = require("@tensorflow/tfjs-backend-wasm") as WasmModule;
  wasm.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
  await tf.setBackend("wasm");
  await tf.ready();
  registerWasmGradients(tf);
  return {
    tf,
    engine: "Wasm",
    device: "CPU",
    threads: 1,
    versions: { node: process.versions.node, tfjs: tf.version["tfjs-core"] },
  };
}

async function openChosen(choice: EngineChoice, threads: number, gpu: boolean): Promise<Backend> {
  if (choice === "Wasm") return openWasm();
  try {
    return await openTensorFlow(threads, gpu);
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0] ?? "";
    if (choice === "TensorFlow") {
      throw new Failure(
        "InvalidSpec",
        `runtime.engine: TensorFlow cannot be loaded here (${reason}); run 'npm run engine', use an image that has it, or set Auto or Wasm`,
        { cause },
      );
    }
    return { ...(await openWasm()), why: `TensorFlow cannot be loaded here: ${reason}` };
  }
}

/**
 * Opens the engine `choice`; Auto is TensorFlow where it can be loaded, else Wasm.
 * A process opens one engine. Throws Failure: InvalidSpec (TensorFlow asked for and not there),
 * GpuNotVisible (a GPU asked for, none used, and `onMissing` is not UseCpu).
 */
export async function openBackend(choice: EngineChoice, options: BackendOptions = {}): Promise<Backend> {
  const { threads = availableParallelism(), gpu } = options;
  const backend = await openChosen(choice, threads, gpu !== undefined);
  if (gpu?.onMissing === "Fail" && backend.device === "CPU") {
    const why =
      backend.engine === "Wasm"
        ? "the Wasm engine computes on the CPU"
        : "TensorFlow sees none (driver, device plugin or CUDA libraries are missing)";
    throw new Failure("GpuNotVisible", `A GPU was asked for, but ${why}; fix the node or set gpu.onMissing to UseCpu`);
  }
  return backend;
}
