import type { Clock } from "./clock.ts";
import { RequestError } from "./request-error.ts";
import type { InferenceRequest, Ticket } from "./servable.ts";
import { type Tensor, bytesOf, concatenate, rowsOf } from "./tensor.ts";

export interface BatcherObserver {
  /** A batch was computed (or failed) in `seconds`; its requests had waited `waitedSeconds`, all together. */
  computed(rows: number, requests: number, seconds: number, waitedSeconds: number): void;
}

export interface BatcherOptions {
  /** Computes one batch; called again only when the former call has settled. */
  readonly compute: (inputs: readonly Tensor[]) => Promise<readonly Tensor[]>;
  readonly clock: Clock;
  /** Requests that may wait; one more is refused with QueueFull. */
  readonly maxWaiting: number;
  /** Bytes of inputs that may wait, unless it is a single request; one more is refused with QueueFull. */
  readonly maxWaitingBytes: number;
  readonly observer?: BatcherObserver | undefined;
}

interface Waiting {
  readonly inputs: readonly Tensor[];
  readonly rows: number;
  readonly bytes: number;
  readonly since: number;
  /** Only requests with the same key fit into one batch: datatypes and trailing shapes. */
  readonly key: string;
  readonly resolve: (outputs: readonly Tensor[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The bounded queue before the engine, closed at first. No timer makes batches: requests that arrive while the engine computes form the
 * next batch, oldest first. A request past its deadline is dropped before it is computed.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  #waiting: Waiting[] = [];
  #computing: Waiting[] = [];
  #closed: RequestError | undefined = new RequestError("NotReady", "the engine has not started yet");
  #maxRows = 1;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get computing(): number {
    return this.#computing.length;
  }

  /**
   * Inputs all have the same number of rows. Throws RequestError QueueFull, or what the batcher was closed with.
   */
  submit({ inputs, timeout }: InferenceRequest): Ticket {
    if (this.#closed !== undefined) throw this.#closed;
    const { clock } = this.#options;
    const bytes = inputs.reduce((sum, { data }) => sum + bytesOf(data), 0);
    this.#admit(bytes);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Tensor[]>();
    const request: Waiting = {
      inputs,
      rows: inputs[0]?.shape[0] ?? 1,
      bytes,
      since: clock.now(),
      key: keyOf(inputs),
      resolve,
      reject,
    };
    const timer = clock.setTimeout(() => {
      this.#drop(request, new RequestError("DeadlineExceeded", "the request's deadline passed while it was waiting"));
    }, timeout);
    const outputs = promise.finally(() => clock.clearTimeout(timer));
    this.#waiting.push(request);
    this.#next();
    return {
      outputs,
      cancel: () => this.#drop(request, new RequestError("Cancelled", "the client has closed the request")),
    };
  }

  /** Rejects what waits and, from now on, what comes, until `open`. What is being computed is left alone. */
  close(error: RequestError): void {
    this.#closed = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) request.reject(error);
  }

  /** `maxRows`: of a batch that is put together; a single larger request is computed alone. 1: nothing is put together. */
  open(maxRows: number): void {
    this.#maxRows = maxRows;
    this.#closed = undefined;
  }

  /** Resolves when nothing waits or is being computed. */
  idle(): Promise<void> {
    if (this.#waiting.length + this.#computing.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #admit(bytes: number): void {
    const { maxWaiting, maxWaitingBytes } = this.#options;
    const count = this.#waiting.length;
    if (count >= maxWaiting) {
      throw new RequestError("QueueFull", `${maxWaiting} requests are waiting already; try again later`);
    }
    const waiting = this.#waiting.reduce((sum, request) => sum + request.bytes, 0);
    if (count > 0 && waiting + bytes > maxWaitingBytes) {
      throw new RequestError("QueueFull", `${waiting} bytes of inputs are waiting already; try again later`);
    }
  }

  #drop(request: Waiting, error: RequestError): void {
    const index = this.#waiting.indexOf(request);
    if (index === -1) return;
    this.#waiting.splice(index, 1);
    request.reject(error);
  }

  #next(): void {
    if (this.#computing.length > 0) return;
    const batch = this.#take();
    if (batch.length === 0) {
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#computing = batch;
    // Settles each request; never rejects.
    void this.#compute(batch).finally(() => {
      this.#computing = [];
      this.#next();
    });
  }

  /** The oldest request and those that fit into its batch; none overtakes another of its shape. */
  #take(): Waiting[] {
    const [oldest] = this.#waiting;
    if (oldest === undefined) return [];
    let rows = 0;
    const batch: Waiting[] = [];
    const rest: Waiting[] = [];
    for (const request of this.#waiting) {
      if (request.key === oldest.key) rows += request.rows;
      const fits = request === oldest || (request.key === oldest.key && rows <= this.#maxRows);
      (fits ? batch : rest).push(request);
    }
    this.#waiting = rest;
    return batch;
  }

  async #compute(batch: readonly Waiting[]): Promise<void> {
    const { compute, clock, observer } = this.#options;
    const startedAt = clock.now();
    const rows = batch.reduce((sum, request) => sum + request.rows, 0);
    const waited = batch.reduce((sum, { since }) => sum + startedAt - since, 0);
    try {
      const outputs = await compute(joined(batch));
      let start = 0;
      for (const request of batch) {
        const end = start + request.rows;
        // A batch of one keeps outputs that have no batch dimension.
        request.resolve(batch.length === 1 ? outputs : outputs.map((output) => rowsOf(output, start, end)));
        start = end;
      }
    } catch (error) {
      // What one caller sent wrong is not the others' fault.
      if (batch.length > 1 && error instanceof RequestError && error.code === "InvalidRequest") {
        for (const request of batch) await this.#compute([request]);
        return;
      }
      const refusal =
        error instanceof RequestError
          ? error
          : new RequestError("Internal", "the engine failed on this batch", { cause: error });
      for (const request of batch) request.reject(refusal);
    } finally {
      observer?.computed(rows, batch.length, (clock.now() - startedAt) / 1000, waited / 1000);
    }
  }
}

function keyOf(inputs: readonly Tensor[]): string {
  return inputs.map(({ datatype, shape }) => `${datatype}[${shape.slice(1).join(",")}]`).join();
}

function joined(batch: readonly Waiting[]): readonly Tensor[] {
  const [first] = batch;
  if (first === undefined || batch.length === 1) return first?.inputs ?? [];
  return first.inputs.map((_, index) => concatenate(batch.flatMap((request) => request.inputs[index] ?? [])));
}
