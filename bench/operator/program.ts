/** A program under measurement: a process of its own, looked at from outside. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { request } from "undici";
import { until } from "../../test/cluster/wait.ts";
import { processorSeconds } from "./processor.ts";

/** What the histogram of Node holds is the time between its own timers: this, and how late they were. */
const DELAY_RESOLUTION = 10;

export interface ProgramOptions {
  readonly name: string;
  /** Node's arguments: its own flags, the file, and those of the program. */
  readonly args: readonly string[];
  readonly cwd: string;
  readonly log: string;
  /** Where it answers /readyz and /metrics. */
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
}

export class Program {
  readonly name: string;
  readonly #options: ProgramOptions;
  #child: ChildProcess | undefined;
  #log: FileHandle | undefined;
  #endings = 0;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#options = options;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  /** How often it ended by itself and was started again, as a kubelet does: such as after the loss of its lease. */
  get endings(): number {
    return this.#endings;
  }

  /** Resolves when it says that it is ready. */
  async start(): Promise<void> {
    const { log, port } = this.#options;
    this.#log = await open(log, "a");
    this.#spawn(this.#log.fd);
    const ready = async () => (await request(`http://127.0.0.1:${port}/readyz`)).statusCode === 200;
    await until(`${this.name} is ready`, ready, { within: 60_000, every: 20 });
  }

  #spawn(log: number): void {
    const { args, cwd, environment } = this.#options;
    const child = spawn(process.execPath, args, {
      cwd,
      stdio: ["ignore", log, log],
      env: { NODE_ENV: "production", HOME: cwd, ...environment },
    });
    this.#child = child;
    child.once("exit", () => {
      if (this.#child !== child) return;
      this.#endings++;
      this.#spawn(log);
    });
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
    await this.#log?.close();
    this.#log = undefined;
  }

  /** Resident memory, MiB. */
  async memory(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  /** Seconds of all its threads on a CPU so far. */
  cpu(): Promise<number> {
    return processorSeconds(this.pid);
  }

  /** Event-loop delay since the last call, milliseconds. */
  async loopDelay(): Promise<{ p99: number; max: number }> {
    const { body } = await request(`http://127.0.0.1:${this.#options.port}/metrics`);
    const text = await body.text();
    const value = (name: string) =>
      Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]) * 1000 - DELAY_RESOLUTION;
    return { p99: value("nodejs_eventloop_lag_p99_seconds"), max: value("nodejs_eventloop_lag_max_seconds") };
  }
}
