/** The engine process: loads one model and computes what its parent sends. */
import { onParentMessage, sendToParent } from "../engine/child.ts";
import { asFailure } from "../failure.ts";
import { openExecutor } from "./choose-executor.ts";
import type { EngineOutcome, EngineReply, EngineRequest } from "./engine-message.ts";
import type { Executor } from "./executor.ts";
import type { LoadedModel, ModelToLoad } from "./inference-engine.ts";
import type { Tensor } from "./tensor.ts";

let executor: Executor | undefined;

async function load(model: ModelToLoad): Promise<LoadedModel> {
  executor = await openExecutor(model);
  const { signature, signatures, format, engine, device, why } = executor;
  return { signature, signatures, format, engine, device, why };
}

async function infer(inputs: readonly Tensor[], signatureName: string | undefined): Promise<readonly Tensor[]> {
  if (executor === undefined) throw new Error("no model is loaded");
  return executor.infer(inputs, signatureName);
}

async function outcome(request: EngineRequest): Promise<EngineOutcome> {
  try {
    if (request.type === "load") return { type: "loaded", model: await load(request.model) };
    return { type: "inferred", outputs: await infer(request.inputs, request.signatureName) };
  } catch (error) {
    const { reason, message } = asFailure(error);
    return { type: "failed", reason, message };
  }
}

/** Looked at once a second: the kernel takes a while to count. */
const memory = { lookedAt: -Infinity, bytes: 0 };

function memoryBytes(): number {
  if (performance.now() - memory.lookedAt >= 1000) {
    memory.lookedAt = performance.now();
    memory.bytes = process.memoryUsage.rss();
  }
  return memory.bytes;
}

/** What a shell says of a process that was killed for its memory; the parent takes it for that. */
const KILLED = 137;

async function answer(request: EngineRequest): Promise<void> {
  const found = await outcome(request);
  const reply: EngineReply = {
    ...found,
    id: request.id,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    memoryBytes: memoryBytes(),
  };
  await sendToParent(reply);
  // A GPU whose memory has run out does not get it back in this process.
  if (
    found.type === "failed" &&
    found.reason === "OutOfMemory" &&
    executor !== undefined &&
    executor.device !== "CPU"
  ) {
    process.exit(KILLED);
  }
}

// Only the parent ends this process: a signal to the whole process group must not cut off what is being computed.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
// One at a time: answers come in the order of the requests.
let last: Promise<void> = Promise.resolve();
onParentMessage((message) => {
  // Only our own parent is at the other end.
  last = last.then(() => answer(message as EngineRequest));
});
