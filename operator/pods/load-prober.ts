/** Asks pods for their load. Pods are not trusted: nothing but a bounded, checked answer comes back. */
import { Load } from "../../crds/contract/load.ts";
import { PORTS } from "../../crds/contract/names.ts";
import { askPod } from "./ask.ts";
import { Connections } from "../kernel/exchange.ts";

export interface LoadProber {
  /** Undefined where the pod gives no valid answer in time, or before the signal aborts. Never throws. */
  load(podIp: string, signal?: AbortSignal): Promise<Load | undefined>;
}

export class HttpLoadProber implements LoadProber {
  readonly #port: number;
  readonly #connections = new Connections("http:");

  constructor(port: number = PORTS.management) {
    this.#port = port;
  }

  async load(podIp: string, signal?: AbortSignal): Promise<Load | undefined> {
    const question = { ip: podIp, port: this.#port, path: "/load", ...(signal === undefined ? {} : { signal }) };
    const answer = await askPod(this.#connections, question);
    const parsed = Load.safeParse(answer);
    return parsed.success ? parsed.data : undefined;
  }

  close(): Promise<void> {
    this.#connections.destroy();
    return Promise.resolve();
  }
}
