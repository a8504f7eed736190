import { daemonPid, logTail, startDaemon, stopDaemon } from "./daemon.ts";
import type { Daemon, Program } from "./daemon.ts";
import { Timeout, until } from "./wait.ts";

/** A daemon ended instead of becoming ready; the message holds the end of its log. */
export class DaemonFailed extends Error {
  override readonly name = "DaemonFailed";
}

/** Starts a daemon and waits until it is healthy. One that lives but does not answer is started anew, once. */
export async function startService(daemon: Daemon, program: Program, healthy: () => Promise<boolean>): Promise<void> {
  const patience = (await daemonPid(daemon)) === undefined ? 60_000 : 10_000;
  await startDaemon(daemon, program);
  try {
    await becomesHealthy(daemon, healthy, patience);
  } catch (error) {
    if (!(error instanceof Timeout)) throw error;
    await stopDaemon(daemon, 2000);
    await startDaemon(daemon, program);
    await becomesHealthy(daemon, healthy, 60_000);
  }
}

async function becomesHealthy(daemon: Daemon, healthy: () => Promise<boolean>, within: number): Promise<void> {
  const ended = async (): Promise<boolean> => (await daemonPid(daemon)) === undefined;
  await until(`${daemon.name} is ready`, async () => (await ended()) || (await healthy()), { within });
  if (await ended()) throw new DaemonFailed(`${daemon.name} ended: ${await logTail(daemon)}`);
}
