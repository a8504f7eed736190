/** What a run is given besides its specification. */
import type { Artefact } from "./store/artefact.ts";
import type { ArtefactStatus } from "../crds/common.ts";

export interface Surroundings {
  /** Folder under which claims are found. */
  volumes: string;
  /** Engine threads; default: the processors that this process may use. */
  threads?: number | undefined;
}

/** An artefact as status and progress show it. */
export function artefactStatus(uri: string, { digest, bytes, manifest }: Artefact): ArtefactStatus {
  return { uri, digest, format: manifest?.format ?? "TfjsLayers", bytes };
}
