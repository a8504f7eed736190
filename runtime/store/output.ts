/** Where a run's artefact goes: a folder of a volume, or a place in an object store. */
import type { RunOutput } from "../../crds/contract/run.ts";
import { Failure } from "../failure.ts";
import type { Artefact } from "./artefact.ts";
import { findFinished } from "./artefact-writer.ts";
import { BucketOutput } from "./bucket-output.ts";
import { Fence } from "./fence.ts";
import type { Hold, Mirror } from "./mirror.ts";
import { isRemote, resolveUri } from "./uri.ts";

export interface Output {
  readonly uri: string;
  /** Local folder of the artefact. */
  readonly folder: string;
  readonly mirror?: Mirror | undefined;
  /** The complete artefact of the same specification, if a former attempt finished it. Throws Failure OutputNotWritable. */
  finished(specHash: string): Promise<Artefact | undefined>;
  /** Takes over from all processes that write there. Throws Failure. */
  take(): Promise<Hold>;
  close(): Promise<void>;
}

async function inVolume({ uri }: RunOutput, volumes: string): Promise<Output> {
  const folder = await resolveUri(uri, volumes);
  return {
    uri,
    folder,
    finished: (specHash) => findFinished(folder, specHash, uri),
    take: () => Fence.take(folder, uri),
    close: () => Promise.resolve(),
  };
}

/**
 * Does `work` with the output. What an object store refuses names the field.
 * Throws Failure: InvalidSpec, InputMissing, AccessDenied, OutputNotWritable, StoreUnavailable, and as `work`.
 */
export async function withOutput<T>(
  output: RunOutput,
  volumes: string,
  work: (output: Output) => Promise<T>,
): Promise<T> {
  if (!isRemote(output.uri)) return work(await inVolume(output, volumes));
  const opened = await BucketOutput.open(output).catch((error: unknown) => {
    throw named(error);
  });
  try {
    return await work({
      uri: opened.uri,
      folder: opened.folder,
      mirror: opened.mirror,
      finished: (specHash) => opened.finished(specHash).catch(rethrown),
      take: () => opened.take().catch(rethrown),
      close: () => opened.close(),
    });
  } finally {
    await opened.close();
  }
}

function rethrown(error: unknown): never {
  throw named(error);
}

/** A refusal of the store, as one of spec.output: a bucket that is not there is nothing to read, but nowhere to write. */
function named(error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  const { reason, message } = error;
  if (reason === "InputMissing") {
    return new Failure("OutputNotWritable", `spec.output: ${message}`, { cause: error });
  }
  return ["AccessDenied", "StoreUnavailable"].includes(reason)
    ? new Failure(reason, `spec.output: ${message}`, { cause: error })
    : error;
}
