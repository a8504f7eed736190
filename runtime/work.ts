/** What a run is given besides its specification. */
import type { ArtefactStatus } from "../crds/common.ts";
import type { EnergyModel } from "../crds/contract/energy-model.ts";
import type { Compute } from "../crds/contract/run.ts";
import { type Backend, openBackend } from "./engine/backend.ts";
import type { Artefact } from "./store/artefact.ts";

export interface Surroundings {
  /** Folder under which claims are found. */
  volumes: string;
  /** Engine threads; default: the processors that this process may use. */
  threads?: number | undefined;
  /** What energy is reckoned with. */
  energy: EnergyModel;
  /** This process among the workers of a training. */
  worker?: WorkerPlace | undefined;
}

export interface WorkerPlace {
  /** From 0. */
  index: number;
  /** File with the secret that the workers share. */
  keyFile: string;
  /** Where each worker listens, by its number; default: the pods' names in the cluster. */
  addresses?: readonly { host: string; port: number }[] | undefined;
}

/** Opens the engine that the run asks for, and says when it is not the first choice. */
export async function openEngine({ engine, gpu }: Compute, threads: number | undefined): Promise<Backend> {
  const backend = await openBackend(engine, { threads, gpu });
  if (backend.why !== undefined) console.warn(`Computing with Wasm: ${backend.why}`);
  return backend;
}

/** What an artefact records of the programs that made it. */
export function softwareOf({ versions, engine, device, threads }: Backend): Record<string, string> {
  return { ...versions, engine, device, threads: String(threads) };
}

/** An artefact as status and progress show it. */
export function artefactStatus(uri: string, { digest, bytes, manifest }: Artefact): ArtefactStatus {
  return { uri, digest, format: manifest?.format ?? "TfjsLayers", bytes };
}
