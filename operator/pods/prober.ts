/** Reads what a pod says of itself. Pods are not trusted: nothing but a bounded, checked answer comes back. */
import { PORTS } from "../../crds/contract/names.ts";
import { Progress } from "../../crds/contract/progress.ts";
import { Connections } from "../kernel/exchange.ts";
import { askPod } from "./ask.ts";

export interface Prober {
  /** The pod's report; undefined where it gives none that is valid. Never throws. */
  probe(podIp: string): Promise<Progress | undefined>;
}

/** Asks the management port of the pod's own address; follows no redirect. */
export class HttpProber implements Prober {
  readonly #port: number;
  readonly #connections = new Connections("http:");

  constructor(port: number = PORTS.management) {
    this.#port = port;
  }

  async probe(podIp: string): Promise<Progress | undefined> {
    // A pod is asked too seldom for its connection to be worth keeping.
    const question = { ip: podIp, port: this.#port, path: "/progress", once: true };
    const parsed = Progress.safeParse(await askPod(this.#connections, question));
    return parsed.success ? parsed.data : undefined;
  }

  close(): Promise<void> {
    this.#connections.destroy();
    return Promise.resolve();
  }
}
