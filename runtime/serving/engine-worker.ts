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
  const { signature, format, engine, device, why } = executor;
  return { signature, format, engine, device, why };
}

async function infer(inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
  if (executor === undefined) throw new Error("no model is loaded");
  return executor.infer(inputs);
}

async function outcome(request: EngineRequest): Promise<EngineOutcome> {
  try {
    if (request.type === "load") return { type: "loaded", model: await load(request.model) };
    return { type: "inferred", outputs: await infer(request.inputs) };
  } catch (error) {
    const { reason, message } = asFailure(error);
    return { type: "failed", reason, message };
  }
}

async function answer(request: EngineRequest): Promise<void> {
  const reply: EngineReply = {
    ...(await outcome(request)),
    id: request.id,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
  };
  await sendToParent(reply);
}

// Only the parent ends this process: a signal to the whole process group must not cut off what is being computed.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
// One at a time: answers come in the order of the requests.
let last: Promise<void> = Promise.resolve();
onParentMessage((message) => {
  // Only our own parent is at the other end.
  last = last.then(() => answer(message as EngineRequest));
});
