/** Asks pods for what became of the requests that they share with another version. Pods are not trusted. */
import { PORTS } from "../../crds/contract/names.ts";
import { TrafficReport } from "../../crds/contract/traffic.ts";
import { Connections } from "../kernel/exchange.ts";
import { askPod } from "./ask.ts";

export interface TrafficProber {
  /** Undefined where the pod gives no valid answer in time. Never throws. */
  report(podIp: string): Promise<TrafficReport | undefined>;
}

export class HttpTrafficProber implements TrafficProber {
  readonly #port: number;
  readonly #connections = new Connections("http:");

  constructor(port: number = PORTS.management) {
    this.#port = port;
  }

  async report(podIp: string): Promise<TrafficReport | undefined> {
    const answer = await askPod(this.#connections, { ip: podIp, port: this.#port, path: "/traffic" });
    const parsed = TrafficReport.safeParse(answer);
    return parsed.success ? parsed.data : undefined;
  }

  close(): Promise<void> {
    this.#connections.destroy();
    return Promise.resolve();
  }
}
