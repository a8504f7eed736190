import { chmod, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Api, ApiError } from "./api.ts";
import { nodeName } from "./node.ts";
import { provisionerName } from "./storage.ts";

/** Makes a folder and a volume for each claim of our StorageClass, and removes both when the claim is gone. Run as a process of its own. */

export type Claim = {
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    annotations?: Record<string, string>;
    deletionTimestamp?: string;
  };
  spec: {
    storageClassName?: string;
    accessModes: string[];
    volumeName?: string;
    resources: { requests: { storage: string } };
  };
  status?: { phase?: string };
};

export type Volume = {
  metadata: { name: string; uid: string; annotations?: Record<string, string> };
  spec: { persistentVolumeReclaimPolicy?: string; local?: { path: string } };
  status?: { phase?: string };
};

/** Is a volume to be made for this claim? With delayed binding only once the scheduler has chosen our node. */
export function wants({ metadata, spec, status }: Claim): boolean {
  const annotations = metadata.annotations ?? {};
  const selected = annotations["volume.kubernetes.io/selected-node"];
  return (
    annotations["volume.kubernetes.io/storage-provisioner"] === provisionerName &&
    status?.phase !== "Bound" &&
    !spec.volumeName &&
    metadata.deletionTimestamp === undefined &&
    (selected === undefined || selected === nodeName)
  );
}

/** Was the volume ours, and is its claim gone for good? */
export function isLeft({ metadata, spec, status }: Volume): boolean {
  const ours = metadata.annotations?.["pv.kubernetes.io/provisioned-by"] === provisionerName;
  return (
    ours &&
    spec.persistentVolumeReclaimPolicy === "Delete" &&
    (status?.phase === "Released" || status?.phase === "Failed")
  );
}

export const volumeName = (claim: Claim): string => `pvc-${claim.metadata.uid}`;

export function volumeFor(claim: Claim, path: string): unknown {
  const { name, namespace, uid } = claim.metadata;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: volumeName(claim), annotations: { "pv.kubernetes.io/provisioned-by": provisionerName } },
    spec: {
      capacity: { storage: claim.spec.resources.requests.storage },
      accessModes: claim.spec.accessModes,
      persistentVolumeReclaimPolicy: "Delete",
      storageClassName: claim.spec.storageClassName,
      claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", name, namespace, uid },
      local: { path },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [nodeName] }] },
          ],
        },
      },
    },
  };
}

const claims = "/api/v1/persistentvolumeclaims";
const volumes = "/api/v1/persistentvolumes";

type Seen = { claims: string; volumes: string };

/** Looks at everything once and does what is due. Returns the versions of the lists that were seen. */
export async function provision(api: Api, folder: string): Promise<Seen> {
  type List<T> = { metadata: { resourceVersion: string }; items: T[] };
  const [claimList, volumeList] = await Promise.all([api.get<List<Claim>>(claims), api.get<List<Volume>>(volumes)]);
  const known = new Set(volumeList.items.map(({ metadata }) => metadata.name));
  for (const claim of claimList.items.filter((each) => wants(each) && !known.has(volumeName(each)))) {
    const path = join(folder, volumeName(claim));
    await mkdir(path, { recursive: true });
    await chmod(path, 0o777); // mkdir's own mode passes through the umask; pods of any user write here
    await api.post(volumes, volumeFor(claim, path));
    console.log(`made ${path} for ${claim.metadata.namespace}/${claim.metadata.name}`);
  }
  for (const volume of volumeList.items.filter(isLeft)) {
    await rm(join(folder, volume.metadata.name), { recursive: true, force: true });
    await api.delete(`${volumes}/${volume.metadata.name}`);
    console.log(`removed ${volume.metadata.name}`);
  }
  return { claims: claimList.metadata.resourceVersion, volumes: volumeList.metadata.resourceVersion };
}

/** Waits for the next change of a claim or a volume. */
async function change(api: Api, seen: Seen): Promise<void> {
  const end = new AbortController();
  const watches = [api.change(claims, seen.claims, end.signal), api.change(volumes, seen.volumes, end.signal)];
  try {
    await Promise.race(watches);
  } finally {
    end.abort();
    await Promise.allSettled(watches);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { kubeconfig: { type: "string" }, folder: { type: "string" } } });
  const { kubeconfig, folder } = values;
  if (!kubeconfig || !folder) throw new Error("usage: provisioner.ts --kubeconfig FILE --folder DIR");
  const api = await Api.fromKubeconfig(kubeconfig);
  for (;;) {
    try {
      await change(api, await provision(api, folder));
    } catch (error) {
      console.error(error instanceof ApiError ? error.message : error);
      await sleep(500);
    }
  }
}

if (import.meta.main) await main();
