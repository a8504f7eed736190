/** Reads what a pod says of itself. Pods are not trusted: nothing but a bounded, checked answer comes back. */
import { Agent, request } from "undici";
import { PORTS } from "../../crds/contract/names.ts";
import { Progress } from "../../crds/contract/progress.ts";

export interface Prober {
  /** The pod's report; undefined where it gives none that is valid. Never throws. */
  probe(podIp: string): Promise<Progress | undefined>;
}

const TIMEOUT_MILLISECONDS = 1000;
const LARGEST_BYTES = 64 * 1024;

/** Asks the management port of the pod's own address; follows no redirect. */
export class HttpProber implements Prober {
  readonly #port: number;
  readonly #agent = new Agent({
    connect: { timeout: TIMEOUT_MILLISECONDS },
    maxResponseSize: LARGEST_BYTES,
    keepAliveTimeout: 4000,
    allowH2: false,
  });

  constructor(port: number = PORTS.management) {
    this.#port = port;
  }

  async probe(podIp: string): Promise<Progress | undefined> {
    const host = podIp.includes(":") ? `[${podIp}]` : podIp;
    try {
      const { statusCode, body } = await request(`http://${host}:${this.#port}/progress`, {
        dispatcher: this.#agent,
        signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
        headers: { accept: "application/json" },
      });
      if (statusCode !== 200) {
        await body.dump({ limit: LARGEST_BYTES });
        return undefined;
      }
      const parsed = Progress.safeParse(await body.json());
      return parsed.success ? parsed.data : undefined;
    } catch {
      // Whatever went wrong, the pod has said nothing that counts.
      return undefined;
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}
