/** The operator as a process of its own, which can be killed and started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { IMAGE } from "../bed.ts";

const MAIN = fileURLToPath(new URL("../../../../operator/main.ts", import.meta.url));

/** Fills a folder with compiled modules, so that a start costs little: without flags the program ends at once. */
export async function compileInto(cache: string): Promise<void> {
  const child = spawn(process.execPath, [MAIN], { stdio: "ignore", env: { NODE_COMPILE_CACHE: cache } });
  await once(child, "exit");
}

export interface ProgramOptions {
  readonly kubeconfig: string;
  readonly namespace: string;
  /** Folder of compiled modules. */
  readonly cache: string;
}

export class Program {
  readonly #options: ProgramOptions;
  #child: ChildProcess | undefined;
  #restarting: Promise<void> | undefined;
  #errors = "";

  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  /** What it has said on its standard error, and errors in its log. */
  get errors(): string {
    return this.#errors;
  }

  start(): void {
    const { kubeconfig, namespace, cache } = this.#options;
    const args = ["--runtime-image", IMAGE, "--kubeconfig", kubeconfig, "--namespace", namespace];
    const child = spawn(process.execPath, [MAIN, ...args, "--health-port", "0", "--log-level", "error"], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: cache },
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data: Buffer) => (this.#errors += data.toString()));
    }
    this.#child = child;
  }

  /** Ends it as a crash does, with nothing of what it had in hand done, and starts it again: once for what was in hand together. */
  restart(): Promise<void> {
    this.#restarting ??= this.#signal("SIGKILL").then(() => {
      this.#restarting = undefined;
      this.start();
    });
    return this.#restarting;
  }

  /** Ends it in good order. */
  async end(): Promise<void> {
    await this.#restarting;
    await this.#signal("SIGTERM");
  }

  async #signal(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }
}
