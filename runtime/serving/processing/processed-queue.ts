/** Requests on their way through the steps before the model, into the queue, and through the steps after it. */
import type { Clock } from "../clock.ts";
import { RequestError } from "../request-error.ts";
import type { InferenceRequest, Ticket } from "../servable.ts";
import type { Tensor } from "../tensor.ts";
import type { Pipeline } from "./pipeline.ts";

/** The queue before the engine. */
interface Queue {
  readonly waiting: number;
  submit(request: InferenceRequest): Ticket;
}

export interface ProcessedQueueOptions {
  readonly pipeline: Pipeline;
  readonly queue: Queue;
  readonly clock: Clock;
  /** Requests that may be processed or wait; one more is refused with QueueFull. */
  readonly maxWaiting: number;
}

export class ProcessedQueue {
  readonly #options: ProcessedQueueOptions;
  #processing = 0;

  constructor(options: ProcessedQueueOptions) {
    this.#options = options;
  }

  /** Throws RequestError QueueFull. */
  submit(request: InferenceRequest): Ticket {
    const { queue, maxWaiting } = this.#options;
    // What is being processed will wait next: it counts already, so that an overload is not decoded in vain.
    if (this.#processing + queue.waiting >= maxWaiting) {
      throw new RequestError("QueueFull", `${maxWaiting} requests are waiting already; try again later`);
    }
    let cancelled = false;
    let ticket: Ticket | undefined;
    const submit = (inputs: readonly Tensor[], timeout: number) => {
      if (cancelled) throw new RequestError("Cancelled", "the client has closed the request");
      return (ticket = queue.submit({ ...request, inputs, timeout }));
    };
    return {
      outputs: this.#answer(request, submit),
      cancel: () => {
        cancelled = true;
        ticket?.cancel();
      },
    };
  }

  async #answer(
    { inputs, timeout }: InferenceRequest,
    submit: (inputs: readonly Tensor[], timeout: number) => Ticket,
  ): Promise<readonly Tensor[]> {
    const { pipeline, clock } = this.#options;
    const startedAt = clock.now();
    this.#processing += 1;
    let processed: readonly Tensor[];
    try {
      processed = await pipeline.before(inputs);
    } finally {
      this.#processing -= 1;
    }
    const left = timeout - (clock.now() - startedAt);
    if (left <= 0) {
      throw new RequestError("DeadlineExceeded", "the request's deadline passed before the model could compute it");
    }
    return pipeline.after(await submit(processed, left).outputs);
  }
}
