import type { ServingProgress } from "../../crds/contract/progress.ts";
import { DEFAULT_BATCHING, DEFAULT_QUEUE, type ServingSettings, delayMilliseconds } from "../../crds/serving.ts";
import { EXIT } from "../../crds/contract/exit-code.ts";
import { crashOf } from "../engine/child.ts";
import { Failure, asFailure } from "../failure.ts";
import { Batcher, type BatcherObserver } from "./batcher.ts";
import type { Clock } from "./clock.ts";
import type { InferenceEngine, LoadedModel, ModelToLoad, StartEngine } from "./inference-engine.ts";
import { type Pipeline, openPipeline } from "./processing/pipeline.ts";
import { ProcessedQueue } from "./processing/processed-queue.ts";
import { RequestError } from "./request-error.ts";
import type { InferenceRequest, Servable, Ticket } from "./servable.ts";
import type { Signature, Tensor } from "./tensor.ts";
import { readSample, warmUp, warmupSizes, warmupTimes } from "./warmup.ts";

export interface ServedModelOptions {
  readonly name: string;
  readonly version: string;
  readonly revision: string;
  readonly uri: string;
  readonly digest: string;
  readonly model: ModelToLoad;
  readonly startEngine: StartEngine;
  readonly clock: Clock;
  /** Batches, queue, warm-up and processing. */
  readonly settings?: ServingSettings | undefined;
  /** Bytes of inputs that may wait; default 256 MiB. */
  readonly maxWaitingBytes?: number | undefined;
  readonly observer?: BatcherObserver | undefined;
  /** The engine ended and is started again; for logs and metrics. */
  readonly onRestart?: ((failure: Failure, attempt: number) => void) | undefined;
}

const MAX_RESTARTS = 3;
const FIRST_RESTART_MILLISECONDS = 500;
/** An engine that served for so long gets all its restarts back. */
const STABLE_MILLISECONDS = 600_000;
/** A batch that computes for longer will not end. */
const STUCK_MILLISECONDS = 300_000;

/** A version of a model, its queue and the engine behind it, which is started again when it dies. */
export class ServedModel implements Servable {
  readonly name: string;
  readonly version: string;
  readonly batcher: Batcher;
  /** Rejects when the engine cannot be kept alive; never resolves. */
  readonly failed: Promise<never>;
  readonly #options: ServedModelOptions;
  readonly #settings: ServingSettings;
  readonly #fail: (failure: Failure) => void;
  #state: ServingProgress["state"] = "Loading";
  #engine: InferenceEngine | undefined;
  #loaded: LoadedModel | undefined;
  #pipeline: Pipeline | undefined;
  #processed: ProcessedQueue | undefined;
  #batchable = false;
  #loadSeconds: number | undefined;
  #warmupSeconds: number | undefined;
  #peakMemoryBytes: number | undefined;
  #servingSince = 0;
  #restarts = 0;
  #computingSince: number | undefined;
  #busyMilliseconds = 0;
  #failure: Failure | undefined;
  #closed = false;

  constructor(options: ServedModelOptions) {
    this.#options = options;
    this.name = options.name;
    this.version = options.version;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#fail = reject;
    // Who starts the model looks at it; until then a failure is no unhandled rejection.
    promise.catch(() => {});
    const { clock, settings = {}, maxWaitingBytes = 256 * 1024 * 1024, observer } = options;
    const { batching = DEFAULT_BATCHING, queue = DEFAULT_QUEUE } = settings;
    this.#settings = settings;
    this.batcher = new Batcher({
      compute: (inputs, signatureName) => this.#compute(inputs, signatureName),
      clock,
      maxWaiting: queue.maxRequests,
      maxWaitingBytes,
      maxDelay: delayMilliseconds(batching.maxDelay),
      allowedSizes: batching.allowedSizes?.toSorted((a, b) => a - b),
      observer,
    });
    this.batcher.close(this.#notReady());
  }

  get state(): ServingProgress["state"] {
    return this.#state;
  }

  /** Requests are answered: also while draining. */
  get answers(): boolean {
    return this.#state === "Serving" || this.#state === "Draining";
  }

  /** Why the model does not serve and never will. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  get ready(): boolean {
    return this.#state === "Serving";
  }

  get live(): boolean {
    const stuck =
      this.#computingSince !== undefined && this.#options.clock.now() - this.#computingSince > STUCK_MILLISECONDS;
    return this.#state !== "Failed" && !stuck;
  }

  /** Seconds for which the engine has computed. */
  get busySeconds(): number {
    const current = this.#computingSince === undefined ? 0 : this.#options.clock.now() - this.#computingSince;
    return (this.#busyMilliseconds + current) / 1000;
  }

  /** What clients see. Throws RequestError NotReady before the model is loaded. */
  get signature(): Signature {
    if (this.#pipeline === undefined) throw this.#notReady();
    return this.#pipeline.signature;
  }

  get loaded(): LoadedModel | undefined {
    return this.#loaded;
  }

  get enginePid(): number | undefined {
    return this.#engine?.pid;
  }

  progress(): ServingProgress {
    const { revision, uri, digest } = this.#options;
    return {
      kind: "ServingProgress",
      revision,
      state: this.#state,
      model: { uri, digest },
      ...(this.#loaded === undefined ? {} : engineOf(this.#loaded)),
      ...(this.#loadSeconds === undefined ? {} : { loadSeconds: this.#loadSeconds }),
      ...(this.#warmupSeconds === undefined ? {} : { warmupSeconds: this.#warmupSeconds }),
      ...(this.#peakMemoryBytes === undefined ? {} : { peakMemoryBytes: this.#peakMemoryBytes }),
    };
  }

  submit(request: InferenceRequest): Ticket {
    this.#checkRows(request.inputs);
    // What is declared around the model is for the signature that clients mean.
    const processed = request.signatureName === undefined ? this.#processed : undefined;
    return (processed ?? this.batcher).submit(request);
  }

  /** Loads and warms the model; then it serves. Throws Failure. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      this.#failed(asFailure(error));
      throw error;
    }
  }

  async #start(): Promise<void> {
    if (this.#closed) return;
    const { clock, model, startEngine } = this.#options;
    this.#state = "Loading";
    const startedAt = clock.now();
    const engine = startEngine();
    this.#engine = engine;
    try {
      this.#loaded = await engine.load(model);
      const { signature, signatures = {} } = this.#loaded;
      this.#batchable = [signature, ...Object.values(signatures)].every(isBatchable);
      this.#loadSeconds = (clock.now() - startedAt) / 1000;
      await this.#warm(engine, this.#loaded.signature, await this.#openPipeline(this.#loaded.signature));
    } catch (error) {
      await engine.close();
      throw error instanceof RequestError ? crashOf(await engine.ended) : error;
    }
    if (this.#closed) return;
    this.#state = "Serving";
    this.#servingSince = clock.now();
    // Of loading and warming, so that it stays what it is. Both processes; pages that they share are counted twice.
    this.#peakMemoryBytes = engine.peakMemoryBytes + process.resourceUsage().maxRSS * 1024;
    this.batcher.open(this.#batchable ? (this.#settings.batching ?? DEFAULT_BATCHING).maxBatchSize : 1);
    void engine.ended.then((end) => this.#restart(crashOf(end)));
  }

  /** No longer ready, but still answering. */
  drain(): void {
    this.#closed = true;
    if (this.#state === "Serving") this.#state = "Draining";
  }

  async close(): Promise<void> {
    this.drain();
    this.batcher.close(this.#notReady());
    await this.#engine?.close();
  }

  /** 400 unless all inputs have the same number of rows. */
  #checkRows(inputs: readonly Tensor[]): void {
    if (!this.#batchable) return;
    const rows = inputs[0]?.shape[0];
    const other = inputs.find((input) => input.shape[0] !== rows);
    if (other !== undefined) {
      throw new RequestError(
        "InvalidRequest",
        `input '${other.name}' has ${other.shape[0]} rows, '${inputs[0]?.name}' has ${rows}; all inputs need the same number`,
      );
    }
  }

  async #compute(inputs: readonly Tensor[], signatureName: string | undefined): Promise<readonly Tensor[]> {
    const { clock } = this.#options;
    const engine = this.#engine;
    if (engine === undefined) throw this.#notReady();
    const startedAt = clock.now();
    this.#computingSince = startedAt;
    try {
      return await engine.infer(inputs, signatureName);
    } catch (error) {
      if (!(error instanceof Failure) || error.reason !== "DataRejected") throw error;
      throw new RequestError("InvalidRequest", error.message, { cause: error });
    } finally {
      this.#computingSince = undefined;
      this.#busyMilliseconds += clock.now() - startedAt;
    }
  }

  async #openPipeline(signature: Signature): Promise<Pipeline> {
    const { clock, model } = this.#options;
    const { processing, queue = DEFAULT_QUEUE } = this.#settings;
    const pipeline = await openPipeline(processing ?? {}, signature, model);
    this.#pipeline = pipeline;
    if (processing !== undefined) {
      this.#processed = new ProcessedQueue({ pipeline, queue: this.batcher, clock, maxWaiting: queue.maxRequests });
    }
    return pipeline;
  }

  async #warm(engine: InferenceEngine, signature: Signature, pipeline: Pipeline): Promise<void> {
    const { clock, uri, name } = this.#options;
    this.#state = "Warming";
    const startedAt = clock.now();
    const sizes = warmupSizes(this.#settings, this.#batchable);
    const sample = await readSample(this.#settings, name, pipeline);
    await warmUp({ engine, signature, sizes, times: warmupTimes(this.#settings), sample, uri });
    this.#warmupSeconds = (clock.now() - startedAt) / 1000;
  }

  async #restart(end: Failure): Promise<void> {
    const { clock, onRestart } = this.#options;
    if (this.#closed) {
      this.batcher.close(this.#notReady());
      return;
    }
    if (clock.now() - this.#servingSince > STABLE_MILLISECONDS) this.#restarts = 0;
    this.#state = "Loading";
    this.batcher.close(this.#notReady());
    let failure = end;
    while (!this.#closed) {
      if (this.#restarts === MAX_RESTARTS || !mayPass(failure)) {
        this.#failed(failure);
        this.#fail(failure);
        return;
      }
      const wait = FIRST_RESTART_MILLISECONDS * 2 ** this.#restarts;
      this.#restarts += 1;
      onRestart?.(failure, this.#restarts);
      await new Promise<void>((resolve) => clock.setTimeout(resolve, wait));
      if (this.#closed) return;
      try {
        await this.#start();
        return;
      } catch (error) {
        failure = asFailure(error);
      }
    }
  }

  #failed(failure: Failure): void {
    this.#state = "Failed";
    this.#failure = failure;
  }

  #notReady(): RequestError {
    return new RequestError("NotReady", `Model with name ${this.#options.name} is not ready.`);
  }
}

const REASON_LIMIT = 512;

function engineOf({ engine, device, why }: LoadedModel) {
  return { engine, device, ...(why === undefined ? {} : { engineReason: why.slice(0, REASON_LIMIT) }) };
}

/** Rows can be put together: every input and output has the batch as its first dimension. */
export function isBatchable({ inputs, outputs }: Signature): boolean {
  return [...inputs, ...outputs].every(({ shape }) => shape[0] === -1);
}

function mayPass(failure: Failure): boolean {
  return failure.exitCode === EXIT.internal || failure.exitCode === EXIT.temporary;
}
