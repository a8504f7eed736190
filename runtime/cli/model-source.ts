/** Finds the model that a manifest refers to, without a cluster. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ArtefactManifest } from "../../crds/contract/artefact.ts";
import { artefactDigest } from "../../crds/contract/artefact.ts";
import { MANIFEST_FILE } from "../../crds/contract/names.ts";
import type { ResolvedModel } from "../../crds/contract/run.ts";
import type { ModelReference } from "../../crds/common.ts";
import { type Access, accessOf } from "../../crds/location.ts";
import { Failure } from "../failure.ts";
import { parseManifest, readManifest } from "../store/artefact.ts";
import { isClaim } from "../store/claim.ts";
import { locationOf, ObjectStore } from "../store/remote/s3.ts";
import { isRemote, resolveUri } from "../store/uri.ts";
import type { Manifest } from "./manifests.ts";

type JobOutput = Access & { uri: string };

interface Found {
  uri: string;
  manifest: ArtefactManifest;
}

/** All complete artefacts of the job below its output. */
function artefactsOf(output: JobOutput, volumes: string): Promise<Found[]> {
  return isRemote(output.uri) ? inBucket(output) : inVolume(output.uri, volumes);
}

async function inBucket(output: JobOutput): Promise<Found[]> {
  const { uri } = output;
  const { key } = locationOf(uri);
  const store = await ObjectStore.open(uri, output);
  try {
    const names = (await store.list(`${key}/`)).map(({ name }) => name.split("/"));
    const found: Found[] = [];
    for (const [run = "", file, ...rest] of names) {
      if (file !== MANIFEST_FILE || rest.length > 0 || run.startsWith(".")) continue;
      const text = (await store.read(`${key}/${run}/${file}`))?.text ?? "";
      if (text !== "" && !isClaim(text))
        found.push({ uri: `${uri}/${run}`, manifest: parseManifest(text, `${uri}/${run}`) });
    }
    return found;
  } finally {
    store.close();
  }
}

async function inVolume(outputUri: string, volumes: string): Promise<Found[]> {
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
  const artefacts = (await artefactsOf(referred.spec.output, volumes))
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
  return { uri: newest.uri, digest: found, ...accessOf(referred.spec.output) };
}
