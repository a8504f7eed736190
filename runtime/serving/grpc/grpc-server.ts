/** The gRPC port: inference, health and reflection. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { protoPath as healthProto } from "grpc-health-check";
import { BODY_LIMIT_BYTES } from "../body.ts";
import { INFERENCE, loadProto, serviceOf } from "./definition.ts";
import { healthService } from "./health-service.ts";
import { type InferenceServiceOptions, inferenceService } from "./inference-service.ts";

export interface GrpcServerOptions extends Omit<InferenceServiceOptions, "timeout"> {
  /** Milliseconds that a request may wait for the engine when it has no deadline; default 30 s. */
  readonly timeout?: number | undefined;
  /** Milliseconds after which a connection is told to go away; the library varies them by a tenth. Default 75 s. */
  readonly connectionAge?: number | undefined;
}

const HEALTH = "grpc.health.v1.Health";

export class GrpcServer {
  readonly #server: Server;

  constructor({ timeout = 30_000, connectionAge = 75_000, ...options }: GrpcServerOptions) {
    this.#server = new Server({
      "grpc.max_receive_message_length": BODY_LIMIT_BYTES,
      "grpc.max_send_message_length": -1,
      // Clients come back elsewhere: without this a new replica is never seen.
      "grpc.max_connection_age_ms": connectionAge,
      "grpc.max_connection_age_grace_ms": 30_000,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
    });
    const inference = loadProto("inference.proto");
    const health = loadSync(healthProto, { longs: String, enums: String, keepCase: true });
    this.#server.addService(serviceOf(inference, INFERENCE), inferenceService({ timeout, ...options }));
    this.#server.addService(
      serviceOf(health, HEALTH),
      healthService(() => options.host.repository.ready, [INFERENCE]),
    );
    new ReflectionService({ ...inference, ...health }).addToServer(this.#server);
  }

  /** Returns the port. Rejects when it is taken. */
  listen(port: number, host = "[::]"): Promise<number> {
    const address = `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
  }

  /** Accepts nothing more, tells clients to go, and finishes what it has in at most so many milliseconds. */
  async stop(milliseconds: number): Promise<void> {
    const timer = setTimeout(() => this.#server.forceShutdown(), milliseconds);
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    clearTimeout(timer);
  }
}
