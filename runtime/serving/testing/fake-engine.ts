import type { Exit } from "../../engine/child.ts";
import { Failure } from "../../failure.ts";
import type { InferenceEngine, LoadedModel } from "../inference-engine.ts";
import type { Signature, Tensor } from "../tensor.ts";

/** Loads a model with this signature, or fails; answers its inputs. */
export class FakeEngine implements InferenceEngine {
  peakMemoryBytes = 1000;
  memoryBytes = 1000;
  readonly shapes: (readonly number[])[] = [];
  readonly ended: Promise<Exit>;
  closed = false;
  end: (exit: Exit) => void;
  readonly #outcome: Failure | Signature;

  constructor(outcome: Failure | Signature) {
    this.#outcome = outcome;
    const { promise, resolve } = Promise.withResolvers<Exit>();
    this.ended = promise;
    this.end = resolve;
  }

  load(): Promise<LoadedModel> {
    if (this.#outcome instanceof Failure) return Promise.reject(this.#outcome);
    return Promise.resolve({ signature: this.#outcome, engine: "Fake", device: "CPU" });
  }

  infer(inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
    this.shapes.push(...inputs.map((input) => input.shape));
    return Promise.resolve(inputs);
  }

  close(): Promise<void> {
    this.closed = true;
    this.end({ code: null, signal: "SIGKILL" });
    return Promise.resolve();
  }
}
