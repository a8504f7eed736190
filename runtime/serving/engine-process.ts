import { type Child, type Exit, crashOf, moduleBeside, startChild } from "../engine/child.ts";
import { Failure } from "../failure.ts";
import type { EngineReply, EngineRequest } from "./engine-message.ts";
import type { InferenceEngine, LoadedModel, ModelToLoad } from "./inference-engine.ts";
import { RequestError } from "./request-error.ts";
import type { Tensor } from "./tensor.ts";

interface Pending {
  readonly resolve: (reply: EngineReply) => void;
  readonly reject: (error: Error) => void;
}

/** An engine in a child process, so that computing never holds up the sockets and a crash takes no connection with it. */
export class EngineProcess implements InferenceEngine {
  peakMemoryBytes = 0;
  memoryBytes = 0;
  readonly ended: Promise<Exit>;
  readonly #child: Child<EngineRequest, EngineReply>;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #hasEnded = false;

  constructor() {
    this.#child = startChild(moduleBeside(import.meta.url, "engine-worker"));
    this.#child.onMessage((reply) => {
      this.peakMemoryBytes = Math.max(this.peakMemoryBytes, reply.peakMemoryBytes);
      this.memoryBytes = reply.memoryBytes;
      this.#pending.get(reply.id)?.resolve(reply);
      this.#pending.delete(reply.id);
    });
    this.ended = this.#child.exited.then((exit) => {
      this.#hasEnded = true;
      for (const pending of this.#pending.values()) pending.reject(gone());
      this.#pending.clear();
      return exit;
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async load(model: ModelToLoad): Promise<LoadedModel> {
    const reply = await this.#ask((id) => ({ type: "load", id, model })).catch(async () => {
      throw crashOf(await this.ended);
    });
    if (reply.type === "failed") throw new Failure(reply.reason, reply.message);
    if (reply.type !== "loaded") throw new Failure("InternalError", `the engine answered ${reply.type} to load`);
    return reply.model;
  }

  async infer(inputs: readonly Tensor[], signatureName?: string): Promise<readonly Tensor[]> {
    const reply = await this.#ask((id) => ({ type: "infer", id, inputs, signatureName }));
    if (reply.type === "failed") throw new Failure(reply.reason, reply.message);
    if (reply.type !== "inferred") throw new Failure("InternalError", `the engine answered ${reply.type} to infer`);
    return reply.outputs;
  }

  /** At once: whoever closes has waited for what is being computed. */
  async close(): Promise<void> {
    if (!this.#hasEnded) this.#child.kill("SIGKILL");
    await this.ended;
  }

  #ask(request: (id: number) => EngineRequest): Promise<EngineReply> {
    if (this.#hasEnded) return Promise.reject(gone());
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject });
      this.#child.send(request(id));
    });
  }
}

function gone(): RequestError {
  return new RequestError("NotReady", "the engine has ended and is being started again; try again later");
}
