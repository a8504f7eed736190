import { execFile } from "node:child_process";
import type { ExecFileOptions } from "node:child_process";

/** A program ended with an error. `output` holds what it wrote, `code` its exit code (null if it was not started or killed). */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly code: number | null;
  readonly output: string;

  constructor(command: string, code: number | null, output: string, cause: unknown) {
    super(`${command} failed${code === null ? "" : ` with exit code ${code}`}: ${output.trim() || String(cause)}`, {
      cause,
    });
    this.code = code;
    this.output = output;
  }
}

export type CommandOptions = Pick<ExecFileOptions, "cwd" | "env" | "timeout"> & { input?: string };

/** Runs a program to its end and returns what it wrote to stdout. Throws CommandError. */
export function command(program: string, args: string[], options: CommandOptions = {}): Promise<string> {
  const { input, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, { ...rest, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const code = typeof error.code === "number" ? error.code : null;
      reject(new CommandError([program, ...args].join(" "), code, `${stderr}${stdout}`, error));
    });
    child.stdin?.on("error", () => undefined); // the program may end without reading
    child.stdin?.end(input ?? "");
  });
}

/** Does the program run and end well? */
export async function succeeds(program: string, args: string[], options: CommandOptions = {}): Promise<boolean> {
  return command(program, args, options).then(
    () => true,
    () => false,
  );
}
