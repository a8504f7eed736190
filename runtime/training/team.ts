/** A training that several workers do together: what one of them finds out, all know; when one is lost, all go on when it is back. */
import { readFile } from "node:fs/promises";
import { PeerLost } from "../distributed/channel.ts";
import { type Group, GroupIncomplete, joinGroup } from "../distributed/group.ts";
import { Failure, systemCode } from "../failure.ts";
import type { Memory } from "./checkpoint.ts";

/** This process among the workers of its run. */
export interface Seat {
  /** From 0; the first one saves states and writes the artefact. */
  rank: number;
  size: number;
  run: string;
  /** File with the secret that they share. */
  keyFile: string;
  /** Where each listens. */
  addresses: readonly { host: string; port: number }[];
}

/** Nodes may have to be started for the last of them. */
const TIMEOUT_MILLISECONDS = 10 * 60_000;

async function readKey(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new Failure(
      "InputMissing",
      `${file}, the secret of the workers, cannot be read (${systemCode(cause) ?? "unknown"}); the operator mounts it`,
      { cause },
    );
  }
}

async function meet({ rank, size, run, keyFile, addresses }: Seat, signal: AbortSignal): Promise<Group> {
  const key = await readKey(keyFile);
  const timeoutMilliseconds = TIMEOUT_MILLISECONDS;
  try {
    return await joinGroup({ rank, size, run, key, addresses, timeoutMilliseconds, signal });
  } catch (cause) {
    if (!(cause instanceof GroupIncomplete)) throw cause;
    throw new Failure(
      "WorkersMissing",
      `${cause.message}; free resources for all ${size} pods at once, queue the job with Kueue, or ask for fewer in spec.workers`,
      { cause },
    );
  }
}

/** Does `work` with the others, again each time that one of them was lost. Throws what `work` throws, and Failure. */
export async function together<T>(seat: Seat, signal: AbortSignal, work: (group: Group) => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const group = await meet(seat, signal);
      // Who is asked to end has no time to wait for one that may say nothing any more.
      const leave = () => void group.close();
      signal.addEventListener("abort", leave, { once: true });
      try {
        return await work(group);
      } finally {
        signal.removeEventListener("abort", leave);
        await group.close();
      }
    } catch (error) {
      if (!(error instanceof PeerLost)) throw error;
      signal.throwIfAborted();
      console.warn(`${error.message}; waiting for it to come back`);
    }
  }
}

/** Gives all workers what the first one remembers. */
export async function shareMemory(group: Group, memory: Memory): Promise<void> {
  const own = group.rank === 0 ? memory.read() : [];
  const lengths = await group.share(() => own.map(({ length }) => length));
  const values = group.rank === 0 ? own : lengths.map((length) => new Float32Array(length));
  for (const one of values) await group.broadcast(one);
  if (group.rank > 0) memory.write(values);
}
