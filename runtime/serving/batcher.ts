import type { Clock } from "./clock.ts";
import { FairQueue, type QueueEntry } from "./fair-queue.ts";
import { RequestError } from "./request-error.ts";
import type { InferenceRequest, Ticket } from "./servable.ts";
import { type Tensor, bytesOf, concatenate, repeatRow, rowsOf } from "./tensor.ts";

export interface ComputedBatch {
  readonly rows: number;
  /** Rows beside them that fill the batch up to an allowed size. */
  readonly padding: number;
  readonly requests: number;
  readonly seconds: number;
  /** How long each request has waited. */
  readonly waitedSeconds: readonly number[];
}

export interface BatcherObserver {
  /** A batch was computed, or failed. */
  computed(batch: ComputedBatch): void;
}

export interface BatcherOptions {
  /** Computes one batch; called again only when the former call has settled. */
  readonly compute: (inputs: readonly Tensor[], signatureName: string | undefined) => Promise<readonly Tensor[]>;
  readonly clock: Clock;
  /** Requests that may wait; one more is refused with QueueFull. */
  readonly maxWaiting: number;
  /** Bytes of inputs that may wait, unless it is a single request; one more is refused with QueueFull. */
  readonly maxWaitingBytes: number;
  /** Milliseconds that an idle engine waits for more rows; default 0. */
  readonly maxDelay?: number | undefined;
  /** Sizes that `compute` may see, rising; smaller batches are padded. All sizes where it is left out. */
  readonly allowedSizes?: readonly number[] | undefined;
  readonly observer?: BatcherObserver | undefined;
}

interface Waiting {
  readonly inputs: readonly Tensor[];
  readonly signatureName: string | undefined;
  readonly rows: number;
  readonly bytes: number;
  readonly since: number;
  /** Only requests with the same key fit into one batch: signature, datatypes and trailing shapes. */
  readonly key: string;
  readonly resolve: (outputs: readonly Tensor[]) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The bounded queue before the engine, closed at first. Requests that arrive while the engine computes form the next
 * batch; callers get their turns fairly, and requests of one caller stay in their order. A request past its deadline is
 * dropped before it is computed.
 */
export class Batcher {
  readonly #options: BatcherOptions;
  readonly #queue = new FairQueue<Waiting>();
  #waitingBytes = 0;
  #computing: readonly Waiting[] = [];
  #closed: RequestError | undefined = new RequestError("NotReady", "the engine has not started yet");
  #maxRows = 1;
  #delay: NodeJS.Timeout | number | undefined;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  get computing(): number {
    return this.#computing.length;
  }

  /** Inputs all have the same number of rows. Throws RequestError QueueFull, or what the batcher was closed with. */
  submit({ inputs, signatureName, timeout, caller }: InferenceRequest): Ticket {
    if (this.#closed !== undefined) throw this.#closed;
    const { clock } = this.#options;
    const bytes = inputs.reduce((sum, { data }) => sum + bytesOf(data), 0);
    this.#admit(bytes, caller);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Tensor[]>();
    const rows = inputs[0]?.shape[0] ?? 1;
    const key = keyOf(inputs, signatureName);
    const request: Waiting = { inputs, signatureName, rows, bytes, since: clock.now(), key, resolve, reject };
    const entry = this.#queue.push(request, caller, rows);
    this.#waitingBytes += bytes;
    const timer = clock.setTimeout(() => {
      this.#drop(entry, new RequestError("DeadlineExceeded", "the request's deadline passed while it was waiting"));
    }, timeout);
    const outputs = promise.finally(() => clock.clearTimeout(timer));
    this.#next();
    return {
      outputs,
      cancel: () => this.#drop(entry, new RequestError("Cancelled", "the client has closed the request")),
    };
  }

  /** Rejects what waits and, from now on, what comes, until `open`. What is being computed is left alone. */
  close(error: RequestError): void {
    this.#closed = error;
    this.#waitingBytes = 0;
    for (const request of this.#queue.clear()) request.reject(error);
  }

  /** `maxRows`: of a batch that is put together; a single larger request is computed alone. 1: nothing is put together. */
  open(maxRows: number): void {
    this.#maxRows = maxRows;
    this.#closed = undefined;
  }

  /** Resolves when nothing waits or is being computed. */
  idle(): Promise<void> {
    if (this.#queue.size + this.#computing.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #admit(bytes: number, caller: string): void {
    const { maxWaiting, maxWaitingBytes } = this.#options;
    if (this.#queue.size >= maxWaiting) {
      const full = new RequestError("QueueFull", `${maxWaiting} requests are waiting already; try again later`);
      // Whoever has filled the queue gives way to who has not.
      const victim = this.#queue.victimFor(caller);
      if (victim === undefined) throw full;
      this.#drop(victim, full);
    }
    const waiting = this.#waitingBytes;
    if (this.#queue.size > 0 && waiting + bytes > maxWaitingBytes) {
      throw new RequestError("QueueFull", `${waiting} bytes of inputs are waiting already; try again later`);
    }
  }

  #drop(entry: QueueEntry<Waiting>, error: RequestError): void {
    if (!this.#queue.remove(entry)) return;
    this.#waitingBytes -= entry.item.bytes;
    entry.item.reject(error);
  }

  #next(): void {
    if (this.#computing.length > 0 || this.#delays()) return;
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

  /** True while it pays to wait for more rows: the batch is not full and its oldest request is young. */
  #delays(): boolean {
    const { clock, maxDelay = 0 } = this.#options;
    const [first] = this.#queue.entries;
    if (maxDelay === 0 || first === undefined) return false;
    const rows = this.#queue.entries.reduce((sum, { item }) => sum + (item.key === first.item.key ? item.rows : 0), 0);
    const left = first.item.since + maxDelay - clock.now();
    if (this.#delay !== undefined) clock.clearTimeout(this.#delay);
    this.#delay = undefined;
    if (rows >= this.#maxRows || left <= 0) return false;
    this.#delay = clock.setTimeout(() => {
      this.#delay = undefined;
      this.#next();
    }, left);
    return true;
  }

  /** The first in turn and those that fit into its batch; none overtakes another of its shape. */
  #take(): readonly Waiting[] {
    const [first] = this.#queue.entries;
    if (first === undefined) return [];
    let rows = 0;
    const taken = this.#queue.take((entry) => {
      if (entry.item.key !== first.item.key) return false;
      rows += entry.item.rows;
      return entry === first || rows <= this.#maxRows;
    });
    return taken.map(({ item }) => {
      this.#waitingBytes -= item.bytes;
      return item;
    });
  }

  async #compute(batch: readonly Waiting[]): Promise<void> {
    const { compute, clock, observer, allowedSizes } = this.#options;
    const startedAt = clock.now();
    const rows = batch.reduce((sum, request) => sum + request.rows, 0);
    const size = allowedSizes?.find((allowed) => allowed >= rows) ?? rows;
    try {
      const inputs = joined(batch).map((input) => padded(input, rows, size));
      const outputs = await compute(inputs, batch[0]?.signatureName);
      let start = 0;
      for (const request of batch) {
        const end = start + request.rows;
        // A batch of one keeps outputs that have no batch dimension.
        const whole = batch.length === 1 && size === rows;
        request.resolve(whole ? outputs : outputs.map((output) => rowsOf(output, start, end)));
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
      observer?.computed({
        rows,
        padding: size - rows,
        requests: batch.length,
        seconds: (clock.now() - startedAt) / 1000,
        waitedSeconds: batch.map(({ since }) => (startedAt - since) / 1000),
      });
    }
  }
}

function keyOf(inputs: readonly Tensor[], signatureName = ""): string {
  const shapes = inputs.map(({ datatype, shape }) => `${datatype}[${shape.slice(1).join(",")}]`);
  return `${signatureName}:${shapes.join()}`;
}

function joined(batch: readonly Waiting[]): readonly Tensor[] {
  const [first] = batch;
  if (first === undefined || batch.length === 1) return first?.inputs ?? [];
  return first.inputs.map((_, index) => concatenate(batch.flatMap((request) => request.inputs[index] ?? [])));
}

/** Repeats the first row: whatever a model asks of its inputs, that row has it. */
function padded(input: Tensor, rows: number, size: number): Tensor {
  if (rows === size) return input;
  return concatenate([input, repeatRow(input, size - rows)]);
}
