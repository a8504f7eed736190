import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "./wait.ts";

/**
 * A process that outlives the command that starts it, recorded as `<state>/<name>.pid`, logging to `<state>/log/<name>.log`.
 * The record holds the process's start time too: a number that was reused by a stranger is never trusted or signalled.
 */
export type Daemon = {
  state: string;
  name: string;
};

export type Program = {
  path: string;
  args: string[];
  env?: Record<string, string>;
  cwd?: string;
  /** End it when the process that starts it ends, however that ends. */
  attached?: boolean;
};

type Identity = { pid: number; started: string };

const recordOf = ({ state, name }: Daemon): string => join(state, `${name}.pid`);
export const logOf = ({ state, name }: Daemon): string => join(state, "log", `${name}.log`);

/** What tells this very process from a later one with its number. */
export function identify(pid: number): string | undefined {
  const started = startTime(pid);
  return started === undefined ? undefined : `${pid} ${started}`;
}

/** Does the process that `identify` described live? */
export function livesStill(description: string): boolean {
  const [pid, started] = description.trim().split(" ");
  return pid !== undefined && started !== undefined && lives({ pid: Number(pid), started });
}

/** Start time of a living process in clock ticks since boot; undefined if it is gone or a zombie. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [status, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return status === "Z" || status === "X" ? undefined : rest[18];
  } catch {
    return undefined;
  }
}

const lives = ({ pid, started }: Identity): boolean => startTime(pid) === started;

/** The process id of a daemon that lives and is ours. */
export async function daemonPid(daemon: Daemon): Promise<number | undefined> {
  const record = await readFile(recordOf(daemon), "utf8").catch(() => "");
  return livesStill(record) ? Number(record.split(" ")[0]) : undefined;
}

/** Starts the program, unless the daemon lives already. Resolves when it runs (not when it is ready). */
export async function startDaemon(daemon: Daemon, program: Program): Promise<void> {
  if ((await daemonPid(daemon)) !== undefined) return;
  const log = await open(logOf(daemon), "a");
  try {
    const tether =
      program.attached && existsSync("/usr/bin/setpriv") ? ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] : [];
    const [path = program.path, ...args] = [...tether, program.path, ...program.args];
    const child = spawn(path, args, {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      env: { ...process.env, ...program.env },
      ...(program.cwd === undefined ? {} : { cwd: program.cwd }),
    });
    await new Promise<void>((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    child.unref();
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity !== undefined) await writeFile(recordOf(daemon), identity);
  } finally {
    await log.close();
  }
}

/** Ends a daemon and waits for its end: politely, and after `patience` milliseconds by force. Does nothing if it is not ours or gone. */
export async function stopDaemon(daemon: Daemon, patience = 10_000): Promise<void> {
  const pid = await daemonPid(daemon);
  if (pid !== undefined) {
    const started = startTime(pid) ?? "";
    const gone = async (): Promise<boolean> => !lives({ pid, started });
    const signal = (name: NodeJS.Signals): void => {
      try {
        process.kill(pid, name);
      } catch {
        // it ended on its own in the meantime
      }
    };
    if (patience > 0) signal("SIGTERM");
    await until(`${daemon.name} ends`, gone, { within: patience, every: 20 }).catch(async () => {
      signal("SIGKILL");
      await until(`${daemon.name} ends`, gone, { within: 10_000, every: 20 });
    });
  }
  await rm(recordOf(daemon), { force: true });
}

/** The last lines that a daemon logged. */
export async function logTail(daemon: Daemon, lines = 10): Promise<string> {
  const text = await readFile(logOf(daemon), "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
