/** Weights and names in an HDF5 file, as Keras writes it. */
import { Worker } from "node:worker_threads";
import { moduleBeside } from "../../engine/child.ts";
import { unsupported } from "../unsupported.ts";

export interface Weight {
  shape: number[];
  data: Float32Array;
}

export interface Hdf5Content {
  /** Texts by `GROUP@ATTRIBUTE`; the root group is empty. */
  attributes: Record<string, string[]>;
  /** By path, without a slash at the front. */
  weights: Record<string, Weight>;
}

export interface Hdf5Request {
  bytes: Uint8Array;
  bytesLimit: number;
}

export const HDF5_LIMITS = { depth: 32, objects: 200_000, names: 100_000 } as const;

/** Keras does not pack weights; a file that someone packed may hold this many times its own size. */
const RATIO_LIMIT = 10;
const SLACK_BYTES = 1024 * 1024;
const MIN_MILLISECONDS = 20_000;
const BYTES_PER_MILLISECOND = 20_000;

/** What the thread answers. */
type Answer = { content: Hdf5Content } | { why: string };

/**
 * Reads all weights but the optimizer's, as float32, and the attributes that Keras needs. Takes `bytes` over.
 * Throws Failure ModelUnsupported for files that are damaged, or declare more weights than they can hold.
 */
export async function readHdf5(bytes: Uint8Array, shownAs: string): Promise<Hdf5Content> {
  const owned = bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
  const request: Hdf5Request = { bytes: owned, bytesLimit: owned.length * RATIO_LIMIT + SLACK_BYTES };
  const limit = MIN_MILLISECONDS + owned.length / BYTES_PER_MILLISECOND;
  const worker = new Worker(moduleBeside(import.meta.url, "hdf5-worker"), {
    workerData: request,
    transferList: [owned.buffer as ArrayBuffer],
    // The library prints its own errors.
    stdout: true,
    stderr: true,
  });
  const { promise, resolve } = Promise.withResolvers<Answer>();
  worker.once("message", (answer: Answer) => resolve(answer));
  worker.once("error", (error) => resolve({ why: `cannot be read (${error.message})` }));
  worker.once("exit", () => resolve({ why: "cannot be read" }));
  const timer = setTimeout(() => resolve({ why: `was not read within ${Math.round(limit / 1000)} s` }), limit);
  try {
    const answer = await promise;
    if ("why" in answer) throw unsupported(shownAs, `${answer.why}; save the model again`);
    return answer.content;
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}
