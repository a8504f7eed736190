/** A request to end, as SIGTERM is one. Work that can save its state watches for it; any other is ended at once. */
import { Failure } from "./failure.ts";

export class Interruption {
  readonly #controller = new AbortController();
  readonly #end: () => void;
  #watched = false;

  /** `end` ends this process. */
  constructor(end: () => void) {
    this.#end = end;
  }

  request(): void {
    if (!this.#watched) this.#end();
    this.#controller.abort(new Failure("Terminated", "The run was asked to end"));
  }

  /** From now on whoever has the signal ends the work; its reason is a Failure Terminated. */
  watch(): AbortSignal {
    this.#watched = true;
    return this.#controller.signal;
  }
}
