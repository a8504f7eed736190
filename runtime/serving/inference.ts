/** Computes for a client, however it has called: within its deadline, and not at all once it has gone. */
import type { Clock } from "./clock.ts";
import { RequestError } from "./request-error.ts";
import type { Servable } from "./servable.ts";
import type { Tensor } from "./tensor.ts";

export interface Client {
  /** When its request came, by the clock. */
  readonly startedAt: number;
  /** Who it is; callers get their turns fairly. */
  readonly caller: string;
  /** Returns how to stop listening. */
  readonly whenGone: (callback: () => void) => () => void;
}

/** `timeout`: milliseconds since the request came. Throws RequestError. */
export async function inferFor(
  client: Client,
  model: Servable,
  inputs: readonly Tensor[],
  timeout: number,
  clock: Clock,
  signatureName?: string,
): Promise<readonly Tensor[]> {
  const left = timeout - (clock.now() - client.startedAt);
  if (left <= 0) throw new RequestError("DeadlineExceeded", "the request's deadline passed before it was computed");
  const ticket = model.submit({ inputs, timeout: left, caller: client.caller, signatureName });
  const ignore = client.whenGone(() => ticket.cancel());
  try {
    return await ticket.outputs;
  } finally {
    ignore();
  }
}
