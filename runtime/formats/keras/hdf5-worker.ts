/** Reads an HDF5 file in a thread of its own, which can be ended: the format has loops that a hostile file can close. */
import { parentPort, workerData } from "node:worker_threads";
import type { Hdf5Request } from "./hdf5.ts";
import { Refused, readContent } from "./hdf5-content.ts";

const answer = (value: object, moved: ArrayBuffer[]) => parentPort?.postMessage(value, moved);

try {
  const content = await readContent(workerData as Hdf5Request);
  parentPort?.postMessage(
    { content },
    Object.values(content.weights).map(({ data }) => data.buffer as ArrayBuffer),
  );
} catch (error) {
  const damage = error instanceof Error ? error.message.split("\n")[0] : String(error);
  answer({ why: error instanceof Refused ? error.message : `is damaged (${damage})` }, []);
}
