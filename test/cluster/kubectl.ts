import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { command } from "./command.ts";

/** A cluster as kubectl and helm reach it. */
export type Target = {
  kubectl: string;
  helm: string;
  env: NodeJS.ProcessEnv;
  /** Context of the kubeconfig; the current one if it is not given. */
  context?: string;
};

/** An object of one of our kinds as kubectl shows it; of its status what stories and tests look at. */
export type Observed = {
  metadata: { name: string; generation: number; uid: string };
  status?: {
    observedGeneration?: number;
    state?: string;
    run?: string;
    epoch?: number;
    epochs?: number;
    progressPercent?: number;
    etaSeconds?: number;
    loss?: number;
    step?: string | number;
    restarts?: number;
    queue?: { position?: number; clusterQueue?: string };
    workers?: { total: number; running: number };
    resumed?: { step: number; time: string };
    metrics?: Record<string, number>;
    evaluation?: Record<string, number>;
    artefact?: { uri: string; digest: string; bytes: number };
    sizeRatio?: number;
    speedup?: number;
    accuracyDrop?: number;
    url?: string;
    replicas?: number;
    readyReplicas?: number;
    stableRevision?: string;
    canaryRevision?: string;
    canaryWeight?: number;
    desiredReplicas?: number;
    performance?: { coldStartSeconds?: number };
    model?: { uri: string; digest?: string };
    device?: string;
    engine?: string;
    conditions?: { type: string; status: string; reason: string; message: string }[];
    lastFailure?: { reason: string; message: string; exitCode?: number };
  };
};

/** kubectl in one namespace, as a user would call it. */
export class Kubectl {
  readonly #target: Target;
  readonly #namespace: string;

  constructor(target: Target, namespace: string) {
    this.#target = target;
    this.#namespace = namespace;
  }

  #args(args: string[]): string[] {
    const { context } = this.#target;
    return [...(context === undefined ? [] : ["--context", context]), "-n", this.#namespace, ...args];
  }

  /** What kubectl printed, without the last line's end. Throws CommandError. */
  async run(args: string[], input?: string): Promise<string> {
    const options = { env: this.#target.env, ...(input === undefined ? {} : { input }) };
    return (await command(this.#target.kubectl, this.#args(args), options)).trimEnd();
  }

  async apply(object: unknown): Promise<void> {
    await this.run(["apply", "--server-side", "--force-conflicts", "-f", "-"], JSON.stringify(object));
  }

  async get(kind: string, name: string): Promise<Observed | undefined> {
    const text = await this.run(["get", kind, name, "--ignore-not-found", "-o", "json"]);
    return text === "" ? undefined : (JSON.parse(text) as Observed);
  }

  /**
   * Asks twice a second until the status is of the newest generation and `done`; `seen` gets every answer on the way.
   * Throws with the last status when `seconds` have passed.
   */
  async until(
    kind: string,
    name: string,
    done: (object: Observed) => boolean,
    { seconds = 120, seen }: { seconds?: number; seen?: (object: Observed) => void } = {},
  ): Promise<Observed> {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const object = await this.get(kind, name);
      if (object !== undefined) seen?.(object);
      if (object?.status?.observedGeneration === object?.metadata.generation && object !== undefined && done(object)) {
        return object;
      }
      if (performance.now() > deadline) {
        throw new Error(`${kind} ${name} is not there after ${seconds} s: ${JSON.stringify(object?.status)}`);
      }
      await pause(500);
    }
  }

  /** Forwards a free local port to a Service; gives its URL and a function that ends it. */
  async portForward(service: string, port: number): Promise<{ url: string; stop: () => void }> {
    const args = this.#args(["port-forward", `service/${service}`, `:${port}`, "--address", "127.0.0.1"]);
    const child = spawn(this.#target.kubectl, args, { env: this.#target.env, stdio: ["ignore", "pipe", "inherit"] });
    const local = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`kubectl port-forward ended with ${code}`)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        const port = /127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port !== undefined) resolve(port);
      });
    });
    return { url: `http://127.0.0.1:${local}`, stop: () => void child.kill() };
  }
}
