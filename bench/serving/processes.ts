/** Servers as processes of their own, and what they take. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { processorSeconds } from "../operator/processor.ts";

/** Runs `command` on the given processor only, where there is a choice. */
export function pinned(core: number, cores: number, command: readonly string[]): string[] {
  return cores > 1 ? ["taskset", "-c", String(core), ...command] : [...command];
}

/** One thread for whoever computes. */
const ONE_THREAD = {
  TF_NUM_INTRAOP_THREADS: "1",
  TF_NUM_INTEROP_THREADS: "1",
  OMP_NUM_THREADS: "1",
  MODELWRIGHT_THREADS: "1",
};

export function start(command: readonly string[]): ChildProcess {
  const [program = "", ...args] = command;
  return spawn(program, args, { env: { ...process.env, ...ONE_THREAD }, stdio: ["ignore", "ignore", "pipe"] });
}

/** The process and those that it started. */
export async function family(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8").catch(() => "")),
  );
  const children = lists.join(" ").split(/\s+/).filter(Boolean).map(Number);
  return [pid, ...(await Promise.all(children.map(family))).flat()];
}

/** Seconds of a processor that they have taken, user and system. */
export async function computedSeconds(pids: readonly number[]): Promise<number> {
  const seconds = await Promise.all(pids.map((pid) => processorSeconds(pid).catch(() => 0)));
  return seconds.reduce((sum, one) => sum + one, 0);
}

/** Megabytes of memory; what processes share is counted once. */
export async function megabytes(pids: readonly number[]): Promise<number> {
  const sizes = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
      return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
    }),
  );
  return sizes.reduce((sum, one) => sum + one, 0);
}

export async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const pids = child.pid === undefined ? [] : await family(child.pid);
  if (child.exitCode !== null) return;
  for (const pid of pids.reverse()) process.kill(pid, "SIGKILL");
  await ended;
}
