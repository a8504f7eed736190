/** The part of a serving process that shares requests with another version. */
import { hostname } from "node:os";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { DirectiveFile } from "./directive-file.ts";
import { startOf } from "./divider.ts";
import { GrpcForwarder } from "./grpc-forward.ts";
import { GrpcTraffic } from "./grpc-traffic.ts";
import { HttpForwarder } from "./http-forward.ts";
import { HttpTraffic } from "./http-traffic.ts";
import { TrafficSplitter } from "./splitter.ts";

export interface PodTrafficOptions {
  readonly revision: string;
  /** Absent: everything is answered here. */
  readonly file?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class PodTraffic {
  readonly splitter: TrafficSplitter;
  readonly http: HttpTraffic;
  readonly grpc: GrpcTraffic;
  readonly #forwarder = new HttpForwarder();
  readonly #grpcForwarder = new GrpcForwarder();
  readonly #file: DirectiveFile | undefined;

  constructor({ revision, file, clock, log }: PodTrafficOptions) {
    // In a pod the host's name is the pod's.
    this.splitter = new TrafficSplitter({ clock, revision, start: startOf(hostname()) });
    this.http = new HttpTraffic(this.splitter, this.#forwarder);
    this.grpc = new GrpcTraffic(this.splitter, this.#grpcForwarder);
    if (file === undefined) return;
    this.#file = new DirectiveFile({
      path: file,
      onChange: (directive) => {
        log.info("traffic", { directive: directive?.id, weight: directive?.weight, to: directive?.target?.revision });
        this.splitter.follow(directive);
      },
      onInvalid: (problem) => log.warn("the traffic directive cannot be followed; nothing is diverted", { problem }),
    });
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#forwarder.close();
    this.#grpcForwarder.close();
  }
}
