/** Sends a gRPC inference call on to the pods of another version. */
import { isIPv6 } from "node:net";
import { Client, credentials, type Metadata, type MethodDefinition, status, type StatusObject } from "@grpc/grpc-js";
import { DIVERTED_HEADER, SECONDS_HEADER } from "../../../crds/contract/traffic.ts";
import { INFERENCE, loadProto, serviceOf } from "../grpc/definition.ts";
import type { InferRequestMessage, InferResponseMessage } from "../grpc/infer-message.ts";
import type { Forwarded, Target } from "./splitter.ts";

export interface ForwardedCall {
  readonly message: InferRequestMessage;
  readonly metadata: Metadata;
  /** Calls back when the client has gone; returns how to be called no more. */
  readonly onGone: (callback: () => void) => () => void;
}

/** A connection is one pod's: several of them spread calls over pods. */
const CONNECTIONS = 4;

/** What this version may see otherwise; out of time may be what the client asked for. */
const REFUSALS: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.PERMISSION_DENIED,
  status.UNIMPLEMENTED,
  status.RESOURCE_EXHAUSTED,
  status.DEADLINE_EXCEEDED,
]);

export class GrpcForwarder {
  readonly #method: MethodDefinition<InferRequestMessage, InferResponseMessage>;
  #address = "";
  #clients: Client[] = [];
  #calls = 0;

  constructor() {
    const method = serviceOf(loadProto("inference.proto"), INFERENCE)["ModelInfer"];
    if (method === undefined) throw new Error("there is no call ModelInfer");
    // The service's definition says which messages it takes.
    this.#method = method as MethodDefinition<InferRequestMessage, InferResponseMessage>;
  }

  close(): void {
    for (const client of this.#clients.splice(0)) client.close();
  }

  forward(
    { message, metadata, onGone }: ForwardedCall,
    target: Target,
    timeout: number,
  ): Promise<Forwarded<InferResponseMessage>> {
    const sent = metadata.clone();
    sent.set(DIVERTED_HEADER, "1");
    const { path, requestSerialize, responseDeserialize } = this.#method;
    const options = { deadline: Date.now() + timeout };
    const client = this.#client(target);
    return new Promise((resolve) => {
      let gone = false;
      let reply: InferResponseMessage | undefined;
      const take = (_: unknown, value?: InferResponseMessage) => void (reply = value);
      const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, message, sent, options, take);
      const off = onGone(() => {
        gone = true;
        call.cancel();
      });
      // Comes last, with what the other side has told at the end.
      call.once("status", (end) => {
        off();
        resolve(gone ? { kind: "Cancelled" } : outcomeOf(reply, end));
      });
    });
  }

  #client({ address, ports }: Target): Client {
    const found = `${isIPv6(address) ? `ipv6:[${address}]` : `ipv4:${address}`}:${ports.grpc}`;
    if (found !== this.#address) {
      this.close();
      this.#address = found;
    }
    const index = this.#calls++ % CONNECTIONS;
    return (this.#clients[index] ??= new Client(found, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.service_config_disable_resolution": 1,
    }));
  }
}

function outcomeOf(
  reply: InferResponseMessage | undefined,
  { code, details, metadata }: StatusObject,
): Forwarded<InferResponseMessage> {
  if (reply !== undefined) {
    const [said] = metadata.get(SECONDS_HEADER);
    const seconds = Number(said ?? Number.NaN);
    return { kind: "Answered", reply, seconds: Number.isFinite(seconds) ? seconds : undefined };
  }
  return REFUSALS.has(code) ? { kind: "Refused" } : { kind: "Failed", why: `${status[code]}: ${details}` };
}
