/** Clients that keep asking a model, as its users do. */
import { setTimeout as pause } from "node:timers/promises";
import { type Client, credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { INFERENCE, loadProto, serviceOf } from "../../runtime/serving/grpc/definition.ts";

/** Rows of a model's input. */
export type Instances = readonly (readonly number[])[];

/** What TF Serving's predict call answers; throws where it does not answer as it should. */
export async function predictions(url: string, model: string, instances: Instances): Promise<number[][]> {
  const response = await fetch(`${url}/v1/models/${model}:predict`, {
    method: "POST",
    body: JSON.stringify({ instances }),
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  const answer = (await response.json()) as { predictions: number[][] };
  if (answer.predictions.length !== instances.length) throw new Error("an answer is missing");
  return answer.predictions;
}

/** Four clients on kept connections that ask until they are stopped; every answer must be right in form. */
export function keepAsking(url: string, model: string, instances: Instances) {
  const counts = { sent: 0, failed: 0, errors: new Set<string>() };
  const stop = new AbortController();
  const worker = async () => {
    while (!stop.signal.aborted) {
      counts.sent += 1;
      try {
        await predictions(url, model, instances);
      } catch (error) {
        counts.failed += 1;
        counts.errors.add(String(error instanceof Error ? (error.cause ?? error.message) : error));
      }
      await pause(5);
    }
  };
  const workers = [worker(), worker(), worker(), worker()];
  return {
    counts,
    stop: async () => {
      stop.abort();
      await Promise.all(workers);
      return counts;
    },
  };
}

/** As keepAsking, by gRPC: two clients on connections of their own; `address` with port. */
export function keepCalling(address: string, model: string, input: string, row: readonly number[]) {
  const counts = { sent: 0, failed: 0, errors: new Set<string>() };
  const stop = new AbortController();
  const worker = async (number: number) => {
    const caller = new GrpcCaller(address, number);
    try {
      while (!stop.signal.aborted) {
        counts.sent += 1;
        try {
          if ((await caller.infer(model, input, row)).length === 0) throw new Error("an answer is empty");
        } catch (error) {
          counts.failed += 1;
          counts.errors.add(String(error instanceof Error ? error.message : error));
        }
        await pause(5);
      }
    } finally {
      caller.close();
    }
  };
  const workers = [worker(0), worker(1)];
  return {
    stop: async () => {
      stop.abort();
      await Promise.all(workers);
      return counts;
    },
  };
}

type Unary = (message: object, options: object, callback: (error: unknown, value: InferAnswer) => void) => void;
interface InferAnswer {
  readonly outputs: readonly { readonly contents: { readonly fp32_contents: number[] } }[];
}

/** A client of the gRPC port; `address` with port. */
export class GrpcCaller {
  readonly #client: Client;

  /** Callers of other numbers have connections of their own. */
  constructor(address: string, number: number) {
    const Service = makeGenericClientConstructor(serviceOf(loadProto("inference.proto"), INFERENCE), INFERENCE);
    this.#client = new Service(address, credentials.createInsecure(), { "modelwright.caller": number });
  }

  close(): void {
    this.#client.close();
  }

  /** The model's answer to one row. */
  async infer(model: string, input: string, row: readonly number[]): Promise<number[]> {
    // Generic clients have a method for each call.
    const call = (this.#client as unknown as Record<string, Unary>)["ModelInfer"]?.bind(this.#client);
    const tensor = { name: input, datatype: "FP32", shape: [1, row.length], contents: { fp32_contents: row } };
    const { outputs } = await new Promise<InferAnswer>((resolve, reject) => {
      call?.({ model_name: model, inputs: [tensor] }, { deadline: Date.now() + 30_000 }, (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    return outputs[0]?.contents.fp32_contents ?? [];
  }
}
