/** gRPC inference calls as the splitter sees them. */
import type { Metadata, ServerUnaryCall } from "@grpc/grpc-js";
import { DIVERTED_HEADER, SECONDS_HEADER } from "../../../crds/contract/traffic.ts";
import type { InferRequestMessage, InferResponseMessage } from "../grpc/infer-message.ts";
import { differs } from "./compare.ts";
import type { GrpcForwarder } from "./grpc-forward.ts";
import { comparableMessage } from "./grpc-answer.ts";
import type { TrafficSplitter } from "./splitter.ts";

export interface GrpcCall {
  readonly call: ServerUnaryCall<InferRequestMessage, InferResponseMessage>;
  /** Milliseconds until the client gives up. */
  readonly timeout: number;
  readonly local: () => Promise<InferResponseMessage>;
}

export class GrpcTraffic {
  readonly #splitter: TrafficSplitter;
  readonly #forwarder: GrpcForwarder;

  constructor(splitter: TrafficSplitter, forwarder: GrpcForwarder) {
    this.#splitter = splitter;
    this.#forwarder = forwarder;
  }

  async answer({ call, timeout, local }: GrpcCall): Promise<InferResponseMessage> {
    const { request: message, metadata } = call;
    // A call that was answered ends as one that was cancelled does; its copy goes on.
    let answered = false;
    const onGone = (callback: () => void) => {
      const cancelled = () => {
        if (!answered) callback();
      };
      call.once("cancelled", cancelled);
      return () => call.off("cancelled", cancelled);
    };
    try {
      return await this.#splitter.answer<InferResponseMessage>({
        diverted: isDivertedCall(metadata),
        millisecondsLeft: timeout,
        forward: (target, patience) => this.#forwarder.forward({ message, metadata, onGone }, target, patience),
        local,
        differ: (a, b, tolerance) => differs(comparableMessage(a), comparableMessage(b), tolerance),
      });
    } finally {
      answered = true;
    }
  }
}

export function isDivertedCall(metadata: Metadata): boolean {
  return metadata.get(DIVERTED_HEADER).length > 0;
}

/** Tells who diverted the call how long it took. */
export function tellSeconds(trailer: Metadata, seconds: number): void {
  trailer.set(SECONDS_HEADER, seconds.toFixed(6));
}
