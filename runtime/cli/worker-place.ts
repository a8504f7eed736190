/** Workers of a training that find each other without a cluster. */
import type { WorkerPlace } from "../work.ts";
import { UsageError } from "./usage.ts";

interface Flags {
  worker?: string | undefined;
  "worker-address"?: string[] | undefined;
  "workers-key"?: string | undefined;
}

function addressOf(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  const [host, port] = [text.slice(0, Math.max(colon, 0)), Number(text.slice(colon + 1))];
  if (host !== "" && Number.isInteger(port) && port >= 1 && port <= 65535) return { host, port };
  throw new UsageError(`--worker-address ${text} must be of the form HOST:PORT`);
}

/** Throws UsageError when a part is missing or no number. */
export function workerPlace(flags: Flags): WorkerPlace | undefined {
  const { worker, "worker-address": texts = [], "workers-key": keyFile } = flags;
  if (worker === undefined && keyFile === undefined && texts.length === 0) return undefined;
  if (worker === undefined || keyFile === undefined || texts.length < 2) {
    throw new UsageError("a worker needs --worker NUMBER, --workers-key FILE and a --worker-address for each of them");
  }
  const index = Number(worker);
  if (worker === "" || !Number.isInteger(index) || index < 0 || index >= texts.length) {
    throw new UsageError(`--worker must be a whole number from 0 to ${texts.length - 1}`);
  }
  return { index, keyFile, addresses: texts.map(addressOf) };
}
