/** What the documents of an artefact say: its manifest, before the documents themselves are listed in it. */
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";

export type Facts = ArtefactManifest;

/** Where the kinds are described. */
export const API = "https://modelwright.dev/v1alpha1";

export const hexOf = (digest: string): string => digest.replace(/^sha256:/, "");

/** The version of Modelwright is not among the programs that compute. */
export const PRODUCER = "modelwright";
