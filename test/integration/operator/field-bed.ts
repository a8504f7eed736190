/** What the operator makes of a spec: its children and status, without what differs from object to object. */
import { until } from "../../cluster/wait.ts";
import { startApiServer } from "../../cluster/apiserver.ts";
import { FakeProber, installCrds, startOperator } from "./bed.ts";
import { type Child, digest, Space, trainingJob } from "./objects.ts";

export interface InstalledBed {
  /** Creates an object and returns what came of it, as text that can be compared. */
  outcome(plural: string, name: string, spec: Record<string, unknown>): Promise<string>;
  stop(): Promise<void>;
}

const KINDS: Record<string, string> = {
  trainingjobs: "TrainingJob",
  optimizationjobs: "OptimizationJob",
  modeldeployments: "ModelDeployment",
};

/** Without controllers of Kubernetes: children stay as they are written. */
export async function installedBed(): Promise<InstalledBed> {
  const server = await startApiServer();
  await installCrds(server.api);
  const space = new Space(server.api, await server.namespace());
  const prober = new FakeProber();
  const operator = await startOperator({ kubeconfig: server.kubeconfig, namespaces: [space.namespace], prober });
  await withArtefact(space, "source", "5");
  await withArtefact(space, "sourcex", "6");
  return {
    outcome: async (plural, name, spec) => {
      const key = plural as "trainingjobs";
      const kind = KINDS[plural] ?? "";
      await space.create({ apiVersion: "modelwright.dev/v1alpha1", kind, metadata: { name }, spec });
      const { status, metadata } = await until(`${plural} ${name} is seen`, async () => {
        const object = await space.get(key, name);
        return object.status.observedGeneration === object.metadata.generation ? object : undefined;
      });
      const children = await Promise.all(
        (
          ["configmaps", "jobs", "deployments", "services", "poddisruptionbudgets", "horizontalpodautoscalers"] as const
        ).map(async (child) =>
          (await space.children(child)).filter((candidate) => isOwnedBy(candidate, metadata.uid)).map(essence),
        ),
      );
      await server.api.delete(space.path(key, name));
      return anonymous(JSON.stringify({ status, children }, withoutTimes, 1), name, metadata.uid);
    },
    stop: async () => {
      await operator.stop();
      await server.stop();
    },
  };
}

/** A job that others can refer to. */
async function withArtefact(space: Space, name: string, character: string): Promise<void> {
  await space.create(trainingJob(name));
  await space.status("trainingjobs", name, "has a run", ({ run }) => run !== undefined);
  const artefact = { uri: `pvc://models/${name}/run`, digest: digest(character), format: "TfjsLayers", bytes: 1 };
  await space.api.patch(`${space.path("trainingjobs", name)}/status`, { status: { artefact } });
}

function isOwnedBy(child: Child, uid: string): boolean {
  return child.metadata.ownerReferences?.some((reference) => reference.uid === uid) === true;
}

/** What acts: hashes in annotations alone do nothing. */
function essence({ metadata, data, spec }: Child) {
  const { labels } = metadata;
  return { labels, data, spec };
}

const TIMES = ["lastTransitionTime", "time", "since", "observedGeneration", "clusterIP", "clusterIPs"];

function withoutTimes(key: string, value: unknown): unknown {
  return TIMES.includes(key) ? undefined : value;
}

/** Names and hashes differ between any two specs; what else differs is the effect of a field. */
function anonymous(text: string, name: string, uid: string): string {
  return text
    .replaceAll(uid, "UID")
    .replaceAll(new RegExp(`\\b${name}-[0-9a-f]{10}\\b`, "g"), "RUN")
    .replaceAll(/specHash\\":\\"[0-9a-f]+/g, "HASH")
    .replaceAll(new RegExp(`\\b${name}\\b`, "g"), "NAME")
    .replaceAll(/controller-uid": "[0-9a-f-]+/g, "CONTROLLER");
}
