/** Finds the model that a manifest refers to, without a cluster. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import { artefactDigest } from "../../crds/contract/artefact.ts";
import type { ResolvedModel } from "../../crds/contract/run.ts";
import type { ModelReference } from "../../crds/common.ts";
import { accessOf } from "../../crds/location.ts";
import { Failure } from "../failure.ts";
import { readManifest } from "../store/artefact.ts";
import { resolveUri } from "../store/uri.ts";
import type { Manifest } from "./manifests.ts";

interface Found {
  uri: string;
  manifest: ArtefactManifest;
}

/** All complete artefacts of the job below its output. */
async function artefactsOf(outputUri: string, volumes: string): Promise<Found[]> {
  const folder = await resolveUri(outputUri, volumes);
  const names = (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith("."));
  const found = await Promise.all(
    names.map(async (name) => {
      const manifest = await readManifest(join(folder, name), `${outputUri}/${name}`);
      return manifest === undefined ? [] : [{ uri: `${outputUri}/${name}`, manifest }];
    }),
  );
  return found.flat();
}

/**
 * The model of a reference: its URI, or the newest artefact of the job that `from` names, whose manifest is among `others`.
 * Throws Failure: InvalidSpec, InputMissing.
 */
export async function modelOf(
  reference: ModelReference,
  others: readonly Manifest[],
  volumes: string,
  field = "spec.model",
): Promise<ResolvedModel> {
  const { uri, from, digest } = reference;
  if (uri !== undefined) return { uri, ...accessOf(reference), ...(digest === undefined ? {} : { digest }) };
  const referred = others.find(({ kind, metadata }) => kind === from?.kind && metadata.name === from.name);
  if (referred === undefined || referred.kind === "ModelDeployment") {
    throw new Failure(
      "InvalidSpec",
      `${field}.from: ${from?.kind ?? ""} ${from?.name ?? ""} is not given; add -f with its manifest`,
    );
  }
  const artefacts = (await artefactsOf(referred.spec.output.uri, volumes))
    .filter(
      ({ manifest }) =>
        manifest.lineage.job.kind === referred.kind && manifest.lineage.job.name === referred.metadata.name,
    )
    .sort((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1));
  const [newest] = artefacts;
  if (newest === undefined) {
    throw new Failure(
      "InputMissing",
      `${field}.from: ${referred.kind} ${referred.metadata.name} has no artefact below ${referred.spec.output.uri}; run it first`,
    );
  }
  const found = artefactDigest(newest.manifest);
  if (digest !== undefined && digest !== found) {
    throw new Failure(
      "DigestMismatch",
      `${field}.digest: the newest artefact, ${newest.uri}, has digest ${found}; correct it`,
    );
  }
  return { uri: newest.uri, digest: found };
}
