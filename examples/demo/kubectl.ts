/** kubectl, as a user would call it. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export class CommandFailed extends Error {
  readonly exitCode: number | null;
  constructor(command: string, exitCode: number | null, output: string) {
    super(`${command} ended with ${exitCode}: ${output.trim().slice(-2000)}`);
    this.name = "CommandFailed";
    this.exitCode = exitCode;
  }
}

export interface CommandOptions {
  env?: NodeJS.ProcessEnv;
  input?: string;
  /** Also passes each line of its output on. */
  onLine?: (line: string) => void;
}

/** Runs a program to its end and returns what it printed. */
export function command(program: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const child = spawn(program, args, { env: options.env, stdio: ["pipe", "pipe", "pipe"] });
  const out: string[] = [];
  const err: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    out.push(line);
    options.onLine?.(line);
  });
  createInterface({ input: child.stderr }).on("line", (line) => {
    err.push(line);
    options.onLine?.(line);
  });
  child.stdin.end(options.input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(out.join("\n"));
      else reject(new CommandFailed([program, ...args].join(" "), code, [...out, ...err].join("\n")));
    });
  });
}

/** What a status of one of our objects has that the demo shows. */
export interface Observed {
  metadata: { generation: number; uid: string };
  status?: {
    observedGeneration?: number;
    state?: string;
    epoch?: number;
    epochs?: number;
    progressPercent?: number;
    etaSeconds?: number;
    loss?: number;
    step?: string;
    metrics?: Record<string, number>;
    evaluation?: Record<string, number>;
    readyReplicas?: number;
    stableRevision?: string;
    model?: { uri: string; digest?: string };
    conditions?: { type: string; status: string; reason: string; message: string }[];
    lastFailure?: { reason: string; message: string };
  };
}

export interface Target {
  kubectl: string;
  helm: string;
  env: NodeJS.ProcessEnv;
  context?: string;
}

export class Kubectl {
  readonly #target: Target;
  readonly #namespace: string;

  constructor(target: Target, namespace: string) {
    this.#target = target;
    this.#namespace = namespace;
  }

  #args(args: readonly string[]): string[] {
    const { context } = this.#target;
    return [...(context === undefined ? [] : ["--context", context]), "-n", this.#namespace, ...args];
  }

  run(args: readonly string[], options: Omit<CommandOptions, "env"> = {}): Promise<string> {
    return command(this.#target.kubectl, this.#args(args), { ...options, env: this.#target.env });
  }

  async apply(object: unknown): Promise<void> {
    await this.run(["apply", "--server-side", "--force-conflicts", "-f", "-"], { input: JSON.stringify(object) });
  }

  async get(kind: string, name: string): Promise<Observed | undefined> {
    const text = await this.run(["get", kind, name, "--ignore-not-found", "-o", "json"]);
    return text === "" ? undefined : (JSON.parse(text) as Observed);
  }

  /** Forwards a free local port to a Service; returns its URL and a function that ends it. */
  async portForward(service: string, port: number): Promise<{ url: string; stop: () => void }> {
    const child: ChildProcess = spawn(
      this.#target.kubectl,
      this.#args(["port-forward", `service/${service}`, `:${port}`, "--address", "127.0.0.1"]),
      { env: this.#target.env, stdio: ["ignore", "pipe", "inherit"] },
    );
    const { stdout } = child;
    if (stdout === null) throw new Error("kubectl port-forward has no output");
    const local = await new Promise<string>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new CommandFailed("kubectl port-forward", code, "")));
      createInterface({ input: stdout }).on("line", (line) => {
        const match = /127\.0\.0\.1:(\d+)/.exec(line);
        if (match?.[1] !== undefined) resolve(match[1]);
      });
    });
    return { url: `http://127.0.0.1:${local}`, stop: () => void child.kill() };
  }
}
