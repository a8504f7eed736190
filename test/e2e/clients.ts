/** Clients that keep asking a model, as its users do. */
import { setTimeout as pause } from "node:timers/promises";

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
