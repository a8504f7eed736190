/**
 * An engine whose process is replaced when it keeps ever more memory. What leaks lies in native libraries, where only the
 * end of the process gives it back. The next process is loaded and warm before the old one goes, so that nobody waits;
 * but not on a GPU, which holds the model once only: there the old one ends first, as if it had died.
 */
import type { Exit } from "../engine/child.ts";
import { Failure, asFailure } from "../failure.ts";
import type { InferenceEngine, LoadedModel, ModelToLoad, StartEngine } from "./inference-engine.ts";
import type { Tensor } from "./tensor.ts";

/** After so many batches an engine has all that it needs: arenas, plans and threads are there. */
const SETTLED_BATCHES = 1000;
/** Growth since then that is a leak: more than caches of batches of other sizes ever take. */
const GROWTH_BYTES = 512 * 1024 * 1024;
/** Where a fresh process could not be had, the next try comes after so many batches. */
const RETRY_BATCHES = 10_000;

export interface RecyclingOptions {
  readonly start: StartEngine;
  /** An engine is being replaced, or could not be: for logs. */
  readonly onRecycle: (what: { readonly grownBytes: number; readonly failure?: Failure }) => void;
  readonly settledBatches?: number;
  readonly growthBytes?: number;
}

export class RecyclingEngine implements InferenceEngine {
  readonly ended: Promise<Exit>;
  readonly #options: Required<RecyclingOptions>;
  readonly #end: (exit: Exit) => void;
  #current: InferenceEngine;
  #model: ModelToLoad | undefined;
  #device = "CPU";
  #batches = 0;
  #settledBytes: number | undefined;
  #peakMemoryBytes = 0;
  #last: Parameters<InferenceEngine["infer"]> = [[]];
  #replacement: Promise<InferenceEngine | undefined> | undefined;
  #next: InferenceEngine | undefined;
  #closed = false;

  constructor(options: RecyclingOptions) {
    this.#options = { settledBatches: SETTLED_BATCHES, growthBytes: GROWTH_BYTES, ...options };
    const { promise, resolve } = Promise.withResolvers<Exit>();
    this.ended = promise;
    this.#end = resolve;
    this.#current = options.start();
    this.#watch(this.#current);
  }

  get pid(): number | undefined {
    return this.#current.pid;
  }

  get memoryBytes(): number {
    return this.#current.memoryBytes;
  }

  get peakMemoryBytes(): number {
    this.#peakMemoryBytes = Math.max(this.#peakMemoryBytes, this.#current.peakMemoryBytes);
    return this.#peakMemoryBytes;
  }

  async load(model: ModelToLoad): Promise<LoadedModel> {
    this.#model = model;
    const loaded = await this.#current.load(model);
    this.#device = loaded.device;
    return loaded;
  }

  async infer(inputs: readonly Tensor[], signatureName?: string): Promise<readonly Tensor[]> {
    this.#takeNext();
    this.#last = [inputs, signatureName];
    const outputs = await this.#current.infer(inputs, signatureName);
    this.#batches += 1;
    this.#look();
    return outputs;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const next = this.#next ?? (await this.#replacement);
    await Promise.all([this.#current.close(), next?.close()]);
  }

  /** Only the engine that is in use counts as the one that ends. */
  #watch(engine: InferenceEngine): void {
    void engine.ended.then((exit) => {
      if (engine === this.#current) this.#end(exit);
    });
  }

  #takeNext(): void {
    const next = this.#next;
    if (next === undefined) return;
    const old = this.#current;
    this.#peakMemoryBytes = this.peakMemoryBytes;
    this.#next = undefined;
    this.#current = next;
    this.#watch(next);
    this.#startAgain(0);
    void old.close();
  }

  /** One that dies before its turn is not taken; the old one is then looked at again. */
  #offer(next: InferenceEngine): void {
    this.#next = next;
    void next.ended.then(() => {
      if (this.#next === next) this.#next = undefined;
    });
  }

  #startAgain(batches: number): void {
    this.#batches = batches;
    this.#settledBytes = undefined;
  }

  #look(): void {
    const { memoryBytes } = this.#current;
    const { settledBatches, growthBytes } = this.#options;
    if (this.#batches < settledBatches || memoryBytes === 0 || this.#replacement !== undefined) return;
    this.#settledBytes ??= memoryBytes;
    const grownBytes = memoryBytes - this.#settledBytes;
    if (grownBytes <= growthBytes) return;
    this.#options.onRecycle({ grownBytes });
    if (this.#device !== "CPU") {
      void this.#current.close();
      return;
    }
    this.#replacement = this.#replace(grownBytes);
  }

  async #replace(grownBytes: number): Promise<InferenceEngine | undefined> {
    const next = this.#options.start();
    try {
      if (this.#model === undefined) return undefined;
      await next.load(this.#model);
      await next.infer(...this.#last);
      if (this.#closed) await next.close();
      else this.#offer(next);
      return next;
    } catch (error) {
      await next.close();
      this.#startAgain(this.#options.settledBatches - RETRY_BATCHES);
      if (!this.#closed) this.#options.onRecycle({ grownBytes, failure: asFailure(error) });
      return undefined;
    } finally {
      this.#replacement = undefined;
    }
  }
}
