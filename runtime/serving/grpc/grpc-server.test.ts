import { type Client, credentials, experimental, makeGenericClientConstructor } from "@grpc/grpc-js";
import { Registry } from "prom-client";
import type { ModelRepository } from "../model-repository.ts";
import { ServingMetrics } from "../serving-metrics.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { until } from "../testing/program.ts";
import { loadProto, serviceOf } from "./definition.ts";
import { GrpcServer } from "./grpc-server.ts";

/** Connections live for so long here; 75 s otherwise, so that this is five minutes and less in a second. */
const AGE_MILLISECONDS = 250;

/** Calls that cross with the message that a connection ends are sent again, as clients of gRPC have it. */
const RETRIED = {
  name: [{ service: "inference.GRPCInferenceService" }],
  retryPolicy: {
    maxAttempts: 5,
    initialBackoff: "0.01s",
    maxBackoff: "0.1s",
    backoffMultiplier: 2,
    retryableStatusCodes: ["UNAVAILABLE"],
  },
};

/** What a name stands for, as DNS would say it: only who asks again sees a change. */
const addresses: { host: string; port: number }[] = [];

class Names implements experimental.Resolver {
  readonly #tell: () => void;
  constructor(_: unknown, listener: experimental.ResolverListener) {
    this.#tell = () =>
      void listener(
        experimental.statusOrFromValue(addresses.map((address) => ({ addresses: [address] }))),
        {},
        null,
        "",
      );
  }
  static getDefaultAuthority(): string {
    return "models";
  }
  updateResolution(): void {
    setImmediate(this.#tell);
  }
  destroy(): void {}
}

experimental.registerResolver("names", Names);

const servers: GrpcServer[] = [];
const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.stop(0)));
});

/** A pod that counts who asks it whether it lives. */
async function startPod(counts: number[]): Promise<void> {
  const index = counts.push(0) - 1;
  const repository = {
    get live() {
      counts[index] = (counts[index] ?? 0) + 1;
      return true;
    },
    // The calls of this test need no more of it.
  } as ModelRepository;
  const server = new GrpcServer({
    host: { repository, version: "1.2.3", repositoryControl: false },
    metrics: new ServingMetrics(new Registry()),
    clock: new FakeClock(),
    connectionAge: AGE_MILLISECONDS,
    onError: (error) => {
      throw error;
    },
  });
  servers.push(server);
  addresses.push({ host: "127.0.0.1", port: await server.listen(0, "127.0.0.1") });
}

it("brings a client that lives on to new pods: its calls are soon spread over them within 20 %, and none is lost", async () => {
  const counts: number[] = [];
  await startPod(counts);
  const name = "inference.GRPCInferenceService";
  const Service = makeGenericClientConstructor(serviceOf(loadProto("inference.proto"), name), name);
  const client = new Service("names:models", credentials.createInsecure(), {
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }], methodConfig: [RETRIED] }),
  });
  clients.push(client);
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      // Generic clients have a method for each call.
      const live = client["ServerLive"] as unknown as (message: object, done: (error: Error | null) => void) => void;
      live.call(client, {}, (error) => (error === null ? resolve() : reject(error)));
    });
  const shares = async () => {
    const before = [...counts];
    for (let request = 0; request < 100; request++) await ask();
    return counts.map((count, pod) => count - (before[pod] ?? 0));
  };
  expect(await shares()).toEqual([100]);
  await Promise.all([1, 2, 3].map(() => startPod(counts)));
  await until("every pod gets its share within 20 %", async () =>
    (await shares()).every((share) => share >= 20 && share <= 30),
  );
});
