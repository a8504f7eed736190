/** What protocols see of a model: its signature, and a way to ask it. Whatever goes in front of a model implements this. */
import type { ServingProgress } from "../../crds/contract/progress.ts";
import type { LoadedModel } from "./inference-engine.ts";
import type { Signature, Tensor } from "./tensor.ts";

export interface InferenceRequest {
  /** In the signature's order. */
  readonly inputs: readonly Tensor[];
  /** Milliseconds that it may wait for the engine. */
  readonly timeout: number;
  /** Which of the model's signatures the inputs are for; absent: the one that it has, or that clients mean. */
  readonly signatureName?: string | undefined;
  /** Who asks: callers get their turns fairly. */
  readonly caller: string;
}

export interface Ticket {
  /** The outputs of this request's rows; rejects with RequestError. */
  readonly outputs: Promise<readonly Tensor[]>;
  /** The client has gone: if the request still waits it is dropped, else its outputs are thrown away. */
  cancel(): void;
}

export interface Servable {
  readonly name: string;
  readonly version: string;
  readonly state: ServingProgress["state"];
  readonly ready: boolean;
  /** What is known of the model once it is loaded. */
  readonly loaded: LoadedModel | undefined;
  /** Throws RequestError NotReady before the model is loaded. */
  readonly signature: Signature;
  /** Throws RequestError QueueFull, NotReady, InvalidRequest. */
  submit(request: InferenceRequest): Ticket;
}
