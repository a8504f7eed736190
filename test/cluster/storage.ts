import { join } from "node:path";
import type { Api } from "./api.ts";
import { startDaemon } from "./daemon.ts";

/** Name of the provisioner in StorageClass and volumes. */
export const provisionerName = "modelwright.dev/node-folder";

/** The default StorageClass: a claim gets a folder of the node, which goes with the claim. */
export async function createStorageClass(api: Api): Promise<void> {
  await api.apply("/apis/storage.k8s.io/v1/storageclasses/standard", {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "standard", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: provisionerName,
    reclaimPolicy: "Delete",
    volumeBindingMode: "Immediate",
  });
}

/** Starts the process that makes and removes the folders. */
export async function startProvisioner({ state, kubeconfig }: { state: string; kubeconfig: string }): Promise<void> {
  const args = ["--kubeconfig", kubeconfig, "--folder", join(state, "volumes")];
  await startDaemon(
    { state, name: "provisioner" },
    { path: process.execPath, args: [join(import.meta.dirname, "provisioner.ts"), ...args] },
  );
}
