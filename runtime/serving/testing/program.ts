/** The real program in a process of its own, spoken to over real sockets. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../main.ts", import.meta.url));

/** Free ports that nobody else reaches. */
export const LOOPBACK = ["--host", "127.0.0.1", "--port", "0", "--grpc-port", "0", "--management-port", "0"];

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

const running = new Set<Program>();

/** Ends all programs, also those whose test has failed. */
export async function closePrograms(): Promise<void> {
  await Promise.all([...running].map((program) => program.close()));
}

export class Program {
  readonly lines: LogLine[] = [];
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    this.#child = spawn(process.execPath, [MAIN, "serve", ...args], {
      env: { ...process.env, MODELWRIGHT_THREADS: "1", ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const lines = this.#child.stderr === null ? undefined : createInterface({ input: this.#child.stderr });
    lines?.on("line", (line) => {
      // The native library writes lines of its own.
      if (!line.startsWith("{")) return;
      this.lines.push(JSON.parse(line) as LogLine);
      for (const look of this.#waiting) look();
    });
    // `close` comes after the last line.
    this.exited = once(this.#child, "close").then(() => {
      running.delete(this);
      return this.#child.exitCode;
    });
    running.add(this);
  }

  /** The first line with this message, now or later. Rejects when the program ends before. */
  line(message: string): Promise<LogLine> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.lines.find((line) => line.message === message);
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
      void this.exited.then((code) => {
        reject(new Error(`the program ended with ${code}: ${JSON.stringify(this.lines.at(-1))}`));
      });
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends the program whatever it is doing. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    await this.exited;
  }
}

export interface Server {
  readonly program: Program;
  readonly url: string;
  readonly management: string;
  readonly port: number;
  readonly grpcPort: number;
  readonly enginePid: number;
}

/** Starts the program on free loopback ports and waits until it is ready. */
export async function startServer(args: readonly string[], env?: Record<string, string>): Promise<Server> {
  const program = new Program([...args, ...LOOPBACK], env);
  const { port, grpcPort, managementPort, enginePid } = await program.line("serving");
  return {
    program,
    port: Number(port),
    grpcPort: Number(grpcPort),
    url: `http://127.0.0.1:${Number(port)}`,
    management: `http://127.0.0.1:${Number(managementPort)}`,
    enginePid: Number(enginePid),
  };
}

/** Looks every 20 ms; rejects after 20 s. */
export async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
