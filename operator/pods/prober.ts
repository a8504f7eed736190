/** Reads what a pod says of itself. Pods are not trusted: nothing but a bounded, checked answer comes back. */
import { PORTS } from "../../crds/contract/names.ts";
import { Progress } from "../../crds/contract/progress.ts";
import { Connections, textOf } from "../kernel/exchange.ts";

export interface Prober {
  /** The pod's report; undefined where it gives none that is valid. Never throws. */
  probe(podIp: string): Promise<Progress | undefined>;
}

const TIMEOUT_MILLISECONDS = 1000;
const LARGEST_BYTES = 64 * 1024;

/** Asks the management port of the pod's own address; follows no redirect. */
export class HttpProber implements Prober {
  readonly #port: number;
  readonly #connections = new Connections("http:");

  constructor(port: number = PORTS.management) {
    this.#port = port;
  }

  async probe(podIp: string): Promise<Progress | undefined> {
    const host = podIp.includes(":") ? `[${podIp}]` : podIp;
    try {
      const response = await this.#connections.send(`http://${host}:${this.#port}/progress`, {
        method: "GET",
        // A pod is asked too seldom for its connection to be worth keeping.
        headers: { accept: "application/json", connection: "close" },
        deadlineMilliseconds: TIMEOUT_MILLISECONDS,
      });
      const text = await textOf(response, LARGEST_BYTES);
      if (response.statusCode !== 200) return undefined;
      const parsed = Progress.safeParse(JSON.parse(text));
      return parsed.success ? parsed.data : undefined;
    } catch {
      // Whatever went wrong, the pod has said nothing that counts.
      return undefined;
    }
  }

  close(): Promise<void> {
    this.#connections.destroy();
    return Promise.resolve();
  }
}
