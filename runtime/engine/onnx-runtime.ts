/** ONNX Runtime: one model, ready to compute on the CPU. It blocks the thread while it computes. */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import type * as Ort from "onnxruntime-node";
import { Failure } from "../failure.ts";

const require = createRequire(import.meta.url);

export interface OnnxSession {
  /** Outputs by name. Throws Error with ONNX Runtime's own message. */
  run(inputs: Readonly<Record<string, OnnxTensor>>, outputs: readonly string[]): Promise<Record<string, OnnxTensor>>;
  /** Shapes that ONNX Runtime has worked out; open dimensions are -1. */
  readonly outputShapes: ReadonlyMap<string, readonly number[]>;
  dispose(): Promise<void>;
}

export type OnnxTensor = Ort.Tensor;
export type OnnxType = Ort.Tensor.Type;

export interface OnnxOptions {
  readonly threads?: number | undefined;
}

let library: typeof Ort | undefined;

/** Throws Failure InvalidSpec when it is not there for this platform. */
function load(): typeof Ort {
  if (library !== undefined) return library;
  try {
    library = require("onnxruntime-node") as typeof Ort;
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0] ?? "";
    throw new Failure("InvalidSpec", `ONNX Runtime cannot be loaded here (${reason}); set runtime.engine to Auto`, {
      cause,
    });
  }
  return library;
}

export function onnxTensor(type: OnnxType, data: Ort.Tensor.DataType, shape: readonly number[]): OnnxTensor {
  const { Tensor } = load();
  const tensor = new Tensor(type, data, [...shape]);
  // The library turns halves into a Float16Array, which its own addon cannot read; it reads their bits.
  if (type === "float16") Object.assign(tensor, { cpuData: data });
  return tensor;
}

function options({ threads = availableParallelism() }: OnnxOptions): Ort.InferenceSession.SessionOptions {
  return {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    // Batches differ in size: a plan for each size would only take memory.
    enableMemPattern: false,
    enableCpuMemArena: true,
    // What a caller sent wrong is the caller's to know, not the log's.
    logSeverityLevel: 4,
    // Threads that wait for work stop looking for it when a call ends: a pod's share of CPU time is not theirs to burn.
    extra: { session: { force_spinning_stop: "1" } },
  };
}

/**
 * Opens a model: its bytes, or the path of its file where weights lie beside it.
 * Throws Failure: ModelUnsupported for what ONNX Runtime refuses, InvalidSpec when it is not there.
 */
export async function openOnnx(
  model: Uint8Array | string,
  shownAs: string,
  settings: OnnxOptions = {},
): Promise<OnnxSession> {
  const ort = load();
  let session: Ort.InferenceSession;
  try {
    session =
      typeof model === "string"
        ? await ort.InferenceSession.create(model, options(settings))
        : await ort.InferenceSession.create(model, options(settings));
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0] ?? "";
    throw new Failure("ModelUnsupported", `${shownAs}: ONNX Runtime refuses it: ${reason.slice(0, 400)}`, { cause });
  }
  return {
    run: async (inputs, outputs) => await session.run(inputs, outputs),
    outputShapes: new Map(
      session.outputMetadata.map((value) => [
        value.name,
        value.isTensor ? value.shape.map((size) => (typeof size === "number" ? size : -1)) : [],
      ]),
    ),
    dispose: () => session.release(),
  };
}
