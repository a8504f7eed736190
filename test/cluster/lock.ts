import { readFile, rm, writeFile } from "node:fs/promises";
import { identify, livesStill } from "./daemon.ts";
import { until } from "./wait.ts";

/** Does the work while no other process holds the lock file. A lock whose holder has died counts for nothing. */
export async function withLock<T>(path: string, log: (line: string) => void, work: () => Promise<T>): Promise<T> {
  let told = false;
  await until(
    `the lock ${path} is free`,
    async () => {
      if (await take(path)) return true;
      if (!livesStill(await readFile(path, "utf8").catch(() => ""))) await rm(path, { force: true });
      else if (!told) log(`Waiting for another command that changes the cluster (${path})`);
      told = true;
      return false;
    },
    { within: 20 * 60_000, every: 100 },
  );
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  return writeFile(path, identify(process.pid) ?? "", { flag: "wx" }).then(
    () => true,
    () => false,
  );
}
