/** Time on processors, as /proc counts it. */
import { readdir, readFile, readlink } from "node:fs/promises";

/** Clock ticks a second. */
const TICKS = 100;

/** Seconds of all threads of a process on a CPU so far. */
export async function processorSeconds(pid: number | string): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Of all processes in this network namespace: the control plane with all that it has started, and this bench. */
export async function processorSecondsHere(): Promise<number> {
  const here = await readlink("/proc/self/ns/net");
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const each = pids.map(async (pid) => {
    try {
      return (await readlink(`/proc/${pid}/ns/net`)) === here ? await processorSeconds(pid) : 0;
    } catch {
      // It has ended meanwhile, or belongs to somebody else.
      return 0;
    }
  });
  return (await Promise.all(each)).reduce((sum, seconds) => sum + seconds, 0);
}
