import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Runs a program to its end. Rejects with what it wrote. */
export async function run(program: string, args: string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  try {
    const { stdout } = await execute(program, args, { ...options, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (cause) {
    const { stderr = "", stdout = "" } = cause as { stderr?: string; stdout?: string };
    const output = `${stdout}${stderr}`.trim().split("\n").slice(-40).join("\n");
    throw new Error(`${program} ${args.slice(0, 3).join(" ")} failed: ${output || String(cause)}`, { cause });
  }
}
