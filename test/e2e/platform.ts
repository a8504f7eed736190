import { join } from "node:path";
import { prepareDigits } from "../../examples/demo/volume.ts";
import { loadImages } from "../../images/load.ts";
import { up } from "../cluster/cluster.ts";
import { Kubectl, type Observed, type Target } from "../cluster/kubectl.ts";
import { type Images, installPlatform, systemNamespace } from "../cluster/platform.ts";

export type Platform = {
  target: Target;
  images: Images;
  /** kubectl in the operator's namespace. */
  system: Kubectl;
};

const quiet = () => undefined;

/** The local cluster with Modelwright installed from this checkout's images and chart. */
export async function startPlatform(): Promise<Platform> {
  const cluster = await up({ log: quiet });
  const images = await loadImages(cluster, quiet);
  const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
  const target = { kubectl: join(cluster.bin, "kubectl"), helm: join(cluster.bin, "helm"), env };
  await installPlatform(target, images);
  return { target, images, system: new Kubectl(target, systemNamespace) };
}

/** A restricted namespace of its own with the digits on the volume `models`; `remove` deletes it. */
export async function digitsNamespace({ target, images }: Platform, name: string) {
  const kubectl = new Kubectl(target, name);
  await prepareDigits(kubectl, name, images);
  const remove = async () => {
    await kubectl.run(["delete", "modelwright", "--all", "--wait=false"]);
    await kubectl.run(["delete", "namespace", name, "--wait=false"]);
  };
  return { kubectl, remove };
}

export const API_VERSION = "modelwright.dev/v1alpha1";

/** A small training on the digits; fields of `spec` replace its own. */
export function smallTraining(name: string, spec: Record<string, unknown> = {}) {
  return {
    apiVersion: API_VERSION,
    kind: "TrainingJob",
    metadata: { name },
    spec: {
      dataset: {
        train: { format: "Csv", uri: "pvc://models/data/train.csv", label: "label" },
        test: { format: "Csv", uri: "pvc://models/data/test.csv", label: "label" },
      },
      preprocessing: [{ rescale: { scale: 0.0625 } }],
      model: {
        layers: [{ dense: { units: 32, activation: "relu" } }, { dense: { units: 10, activation: "softmax" } }],
      },
      loss: "sparseCategoricalCrossentropy",
      optimizer: { adam: { learningRate: 0.005 } },
      metrics: ["accuracy"],
      epochs: 3,
      seed: 7,
      output: { uri: `pvc://models/${name}` },
      ...spec,
    },
  };
}

export function deployment(name: string, spec: Record<string, unknown>) {
  return { apiVersion: API_VERSION, kind: "ModelDeployment", metadata: { name }, spec };
}

export const condition = (object: Observed, type: string) =>
  object.status?.conditions?.find((candidate) => candidate.type === type);

export const isReady = (object: Observed) => condition(object, "Ready")?.status === "True";
export const succeeded = (object: Observed) => object.status?.state === "Succeeded";
