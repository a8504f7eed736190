import { describe, expect, it } from "@jest/globals";
import { trainingRun, servingRun } from "../../crds/contract/run.ts";
import { modelDeployment, trainingJob } from "../testing/objects.ts";
import { type PodRequest, podTemplate } from "./template.ts";
import type { PodSpec } from "./types.ts";

function request(more: Partial<PodRequest> = {}): PodRequest {
  return {
    run: trainingRun(trainingJob()),
    configMap: "digits-1",
    image: "example/runtime:1",
    labels: { "modelwright.dev/run": "digits-1" },
    defaults: { requests: { cpu: "100m", memory: "256Mi" } },
    ...more,
  };
}

function specOf(more: Partial<PodRequest> = {}): PodSpec {
  const { spec } = podTemplate(request(more));
  if (spec === undefined) throw new Error("no spec");
  return spec;
}

function containerOf(more: Partial<PodRequest> = {}) {
  const [container] = specOf(more).containers;
  if (container === undefined) throw new Error("no container");
  return container;
}

/** Where claims are mounted for a run that writes there. */
function claimMounts(output: string) {
  const run = trainingRun(trainingJob({ output: { uri: output } }));
  const mounts = containerOf({ run }).volumeMounts ?? [];
  return mounts.filter(({ mountPath }) => mountPath.startsWith("/var/lib/modelwright/pvc/"));
}

const zone = (value: string) => ({ key: "zone", operator: "In", values: [value] });

describe("a generated pod", () => {
  it("of a job is told what energy is reckoned with, if the installation says it; one that serves is not", () => {
    const defaults = { requests: {}, energy: ["gramsPerKWh=56", "pue=1.2"] };
    expect(containerOf({ defaults }).env).toEqual([{ name: "MODELWRIGHT_ENERGY", value: "gramsPerKWh=56,pue=1.2" }]);
    expect(containerOf().env).toEqual([]);
    const run = servingRun(modelDeployment(), "digits-1", { uri: "pvc://models/digits" });
    expect(containerOf({ run, defaults }).env).toEqual([]);
  });

  it("keeps to the restricted Pod Security Standard and has no API token", () => {
    const spec = specOf();
    expect(spec).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65532,
        fsGroup: 65532,
        seccompProfile: { type: "RuntimeDefault" },
      },
    });
    expect(spec.hostNetwork ?? spec.hostPID ?? spec.hostIPC).toBeUndefined();
    for (const container of spec.containers) {
      expect(container.securityContext).toEqual({
        runAsNonRoot: true,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
    }
    const kinds = (spec.volumes ?? []).flatMap((volume) => Object.keys(volume));
    expect(new Set(kinds)).toEqual(new Set(["name", "configMap", "emptyDir", "persistentVolumeClaim"]));
  });

  it("is told what to do by a file that cannot be written", () => {
    const container = containerOf();
    expect(container.args).toEqual(["train", "--job", "/etc/modelwright/job.json"]);
    expect(container.volumeMounts).toContainEqual({ name: "job", mountPath: "/etc/modelwright", readOnly: true });
  });

  it("mounts each claim once, writable only where the run writes", () => {
    expect(claimMounts("pvc://models/digits")).toEqual([
      { name: "claim-0", mountPath: "/var/lib/modelwright/pvc/data", readOnly: true },
      { name: "claim-1", mountPath: "/var/lib/modelwright/pvc/models" },
    ]);
    expect(claimMounts("pvc://data/digits")).toEqual([{ name: "claim-0", mountPath: "/var/lib/modelwright/pvc/data" }]);
  });

  it("mounts a model that is served for reading only", () => {
    const run = servingRun(modelDeployment(), "digits-1", { uri: "pvc://models/digits/one" });
    const claims = containerOf({ run }).volumeMounts?.filter(({ name }) => name.startsWith("claim"));
    expect(claims).toEqual([{ name: "claim-0", mountPath: "/var/lib/modelwright/pvc/models", readOnly: true }]);
  });

  it.each([
    { given: undefined, requests: { cpu: "100m", memory: "256Mi" } },
    { given: { requests: { cpu: 2 } }, requests: { cpu: "2", memory: "256Mi" } },
    // A limit without a request is the request.
    { given: { limits: { memory: "64Mi" } }, requests: { cpu: "100m" } },
  ])("requests $requests when the spec says $given", ({ given, requests }) => {
    expect(containerOf({ resources: given }).resources?.requests).toEqual(requests);
  });

  it("sets the engine's threads from the cpu limit, and only where there is one", () => {
    expect(containerOf({ resources: { limits: { cpu: "4" } } }).env).toContainEqual({
      name: "MODELWRIGHT_THREADS",
      valueFrom: { resourceFieldRef: { containerName: "runtime", resource: "limits.cpu", divisor: "1" } },
    });
    expect(containerOf().env).toEqual([]);
  });

  it("never lets overrides change its own labels", () => {
    const labels = { team: "vision", "app.kubernetes.io/managed-by": "somebody" };
    expect(podTemplate(request({ pod: { labels } })).metadata?.labels).toEqual({
      team: "vision",
      "app.kubernetes.io/managed-by": "modelwright",
      "app.kubernetes.io/name": "modelwright-runtime",
      "modelwright.dev/run": "digits-1",
    });
  });
});

describe("a pod that reads from a store", () => {
  const access = { credentials: { secretName: "store" }, caBundle: { configMapName: "lab" } };
  const fetching = (scheme: string) => {
    const of = (name: string) => ({
      format: "Csv" as const,
      uri: `${scheme}://data/${name}.csv`,
      label: "y",
      ...access,
    });
    return trainingRun(trainingJob({ dataset: { train: of("train"), test: of("test") } }));
  };

  it("gets each Secret and each authority once, from the kubelet, to read", () => {
    const { volumes = [], containers } = specOf({ run: fetching("s3") });
    expect(volumes).toEqual(
      expect.arrayContaining([
        { name: "credentials-0", secret: { secretName: "store", defaultMode: 0o440 } },
        { name: "ca-bundle-0", configMap: { name: "lab", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      ]),
    );
    const mounts = containers[0]?.volumeMounts?.filter(({ name }) => /^(credentials|ca-bundle)/.test(name));
    expect(mounts).toEqual([
      { name: "credentials-0", mountPath: "/var/run/modelwright/credentials/store", readOnly: true },
      { name: "ca-bundle-0", mountPath: "/etc/modelwright-ca/lab", readOnly: true },
    ]);
  });

  it("gets the Secret and the authority of where its artefact goes", () => {
    const run = trainingRun(trainingJob({ output: { uri: "s3://models/digits", ...access } }));
    expect(specOf({ run }).volumes).toContainEqual({
      name: "credentials-0",
      secret: { secretName: "store", defaultMode: 0o440 },
    });
    expect(specOf({ run }).volumes).toContainEqual({
      name: "ca-bundle-0",
      configMap: { name: "lab", items: [{ key: "ca.crt", path: "ca.crt" }] },
    });
    const proxy = { url: "http://proxy.lab:3128", exclude: [] };
    const env = containerOf({ run, defaults: { requests: {}, proxy } }).env;
    expect(env).toContainEqual({ name: "HTTPS_PROXY", value: proxy.url });
  });

  it("may ask the private hosts that the installation allows, where it asks a web server at all", () => {
    const defaults = { requests: {}, allowedHosts: ["files.lab", "mirror.lab"] };
    const allowed = { name: "MODELWRIGHT_ALLOWED_HOSTS", value: "files.lab,mirror.lab" };
    expect(containerOf({ run: fetching("https"), defaults }).env).toContainEqual(allowed);
    expect(containerOf({ run: fetching("s3"), defaults }).env).not.toContainEqual(allowed);
  });

  it("fetch through the installation's proxy, unless their object says another", () => {
    const url = "http://proxy.lab:3128";
    const defaults = { requests: {}, proxy: { url, exclude: [".svc", "store.lab"] } };
    const all = [
      { name: "HTTPS_PROXY", value: url },
      { name: "HTTP_PROXY", value: url },
      { name: "NO_PROXY", value: ".svc,store.lab" },
    ];
    expect(containerOf({ run: fetching("s3"), defaults }).env).toEqual(all);
    expect(containerOf({ defaults }).env).toEqual([]);
    const own = { name: "HTTPS_PROXY", value: "" };
    expect(containerOf({ run: fetching("s3"), defaults, pod: { env: [own] } }).env).toEqual([all[1], all[2], own]);
  });
});

describe("the defaults of the installation", () => {
  const defaults = {
    requests: { cpu: "100m", memory: "256Mi" },
    nodeSelector: { "kubernetes.io/os": "linux", pool: "shared" },
    architectures: ["amd64", "arm64"],
    imagePullSecrets: ["registry"],
  };
  const architecture = { key: "kubernetes.io/arch", operator: "In", values: ["amd64", "arm64"] };
  const required = (more: Partial<PodRequest>) =>
    specOf({ defaults, ...more }).affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
      ?.nodeSelectorTerms;

  it("choose nodes and Secrets for a pod whose object says nothing of them", () => {
    const { nodeSelector, imagePullSecrets } = specOf({ defaults });
    expect(nodeSelector).toEqual({ "kubernetes.io/os": "linux", pool: "shared" });
    expect(imagePullSecrets).toEqual([{ name: "registry" }]);
    expect(required({})).toEqual([{ matchExpressions: [architecture] }]);
  });

  it("give way to what the object says", () => {
    const pod = { nodeSelector: { pool: "own", zone: "a" }, imagePullSecrets: [{ name: "own" }] };
    const { nodeSelector, imagePullSecrets } = specOf({ defaults, pod });
    expect(nodeSelector).toEqual({ "kubernetes.io/os": "linux", pool: "own", zone: "a" });
    expect(imagePullSecrets).toEqual([{ name: "own" }]);
    expect(specOf({ defaults, pod: { nodeSelector: { "kubernetes.io/arch": "s390x" } } }).affinity).toBeUndefined();
  });

  it("hold besides the products of a GPU", () => {
    const product = { key: "nvidia.com/gpu.product", operator: "In", values: ["NVIDIA-H200"] };
    const gpu = { count: 1, products: ["NVIDIA-H200"], onMissing: "Fail" as const };
    expect(required({ gpu })).toEqual([{ matchExpressions: [product, architecture] }]);
  });
});

describe("a pod that asks for a GPU", () => {
  it("gets it as a limit and tolerates the taint of the resource", () => {
    const gpu = { count: 2, resourceName: "nvidia.com/mig-1g.10gb", onMissing: "Fail" } as const;
    expect(containerOf({ gpu }).resources?.limits).toEqual({ "nvidia.com/mig-1g.10gb": "2" });
    expect(specOf({ gpu }).tolerations).toEqual([
      { key: "nvidia.com/mig-1g.10gb", operator: "Exists", effect: "NoSchedule" },
      { key: "nvidia.com/gpu", operator: "Exists", effect: "NoSchedule" },
    ]);
  });

  it("goes to nodes with one of the products, whatever else the user's affinity asks for", () => {
    const gpu = { count: 1, products: ["NVIDIA-H200"], onMissing: "Fail" as const };
    const product = { key: "nvidia.com/gpu.product", operator: "In", values: ["NVIDIA-H200"] };
    const terms = (affinity?: Record<string, unknown>) =>
      specOf({ gpu, pod: affinity === undefined ? {} : { affinity } }).affinity?.nodeAffinity
        ?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
    expect(terms()).toEqual([{ matchExpressions: [product] }]);
    const nodeSelectorTerms = [{ matchExpressions: [zone("a")] }, { matchExpressions: [zone("b")] }];
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } };
    expect(terms(affinity)).toEqual([
      { matchExpressions: [zone("a"), product] },
      { matchExpressions: [zone("b"), product] },
    ]);
  });

  it("claims a device instead, where a claim template is named", () => {
    const gpu = { resourceClaimTemplateName: "one-gpu", onMissing: "Fail" } as const;
    expect(specOf({ gpu }).resourceClaims).toEqual([{ name: "gpu", resourceClaimTemplateName: "one-gpu" }]);
    expect(containerOf({ gpu }).resources?.claims).toEqual([{ name: "gpu" }]);
    expect(specOf({ gpu }).tolerations).toBeUndefined();
  });
});
