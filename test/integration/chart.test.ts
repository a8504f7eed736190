import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import { LABELS, PORTS } from "../../crds/contract/names.ts";
import { startApiServer } from "../cluster/apiserver.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { command } from "../cluster/command.ts";

const chart = join(import.meta.dirname, "../../charts/modelwright");
const full = join(chart, "ci/full-values.yaml");

type Manifest = { kind: string; metadata: { name: string }; spec?: Record<string, unknown> };

let server: ApiServer;
beforeAll(async () => {
  server = await startApiServer();
}, 60_000);
afterAll(() => server.stop());

const helm = (...args: string[]): Promise<string> =>
  command(join(server.bin, "helm"), args, { env: { ...process.env, KUBECONFIG: server.kubeconfig } });

const kubectl = (args: string[], input?: unknown): Promise<string> =>
  command(join(server.bin, "kubectl"), [`--kubeconfig=${server.kubeconfig}`, ...args], {
    input: input === undefined ? "" : JSON.stringify(input),
  });

const template = (...args: string[]): Promise<string> =>
  helm("template", "modelwright", chart, "--namespace", "modelwright-system", ...args);

const manifests = (rendered: string): Manifest[] =>
  parseAllDocuments(rendered)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);

/** Pods, and what makes pods, as pods. */
function pods(all: Manifest[]): unknown[] {
  return all.flatMap((manifest) => {
    if (manifest.kind === "Pod") return [manifest];
    const template = manifest.spec?.["template"] as Manifest | undefined;
    if (template === undefined) return [];
    const metadata = { ...template.metadata, name: manifest.metadata.name };
    return [{ ...template, apiVersion: "v1", kind: "Pod", metadata }];
  });
}

/** Paths of all values that can be set, such as `image.tag`. Lists and maps that users fill are one value. */
function leaves(values: unknown, path = ""): string[] {
  const isFilled =
    typeof values === "object" && values !== null && !Array.isArray(values) && Object.keys(values).length > 0;
  if (!isFilled || Object.keys(values).some((name) => name.includes("/"))) return [path];
  return Object.entries(values).flatMap(([name, value]) => leaves(value, path === "" ? name : `${path}.${name}`));
}

/** Another value for each path, as JSON, and where it matters what must hold besides. */
const changes: Record<string, { to: string; besides?: string[] }> = {
  "image.registry": { to: '"other.example.com"' },
  "image.repository": { to: '"other/operator"' },
  "image.tag": { to: '"9"', besides: ['image.digest=""'] },
  "image.digest": { to: `"sha256:${"9".repeat(64)}"` },
  "image.pullPolicy": { to: '"Never"' },
  "runtimeImage.registry": { to: '"other.example.com"' },
  "runtimeImage.repository": { to: '"other/runtime"' },
  "runtimeImage.tag": { to: '"9"', besides: ['runtimeImage.digest=""'] },
  "runtimeImage.digest": { to: `"sha256:${"9".repeat(64)}"` },
  imagePullSecrets: { to: '["other"]' },
  env: { to: '{"OTHER": "yes"}' },
  "caBundle.configMap": { to: '"other"' },
  "caBundle.key": { to: '"other"' },
  replicas: { to: "2" },
  logLevel: { to: '"warn"' },
  watchNamespaces: { to: "[]" },
  "defaultRequests.cpu": { to: '"1"' },
  "defaultRequests.memory": { to: '"2Gi"' },
  defaultNodeSelector: { to: '{"other": "yes"}' },
  defaultArchitectures: { to: '["s390x"]' },
  defaultImagePullSecrets: { to: '["other"]' },
  "energy.gramsPerKWh": { to: "56" },
  "energy.pue": { to: "1.2" },
  "energy.idleWattsPerCpu": { to: "2" },
  "energy.busyWattsPerCpu": { to: "9" },
  allowedHosts: { to: '["other"]' },
  "proxy.url": { to: '"http://other:3128"' },
  "proxy.exclude": { to: '["other"]' },
  "activator.enabled": { to: "false" },
  "activator.replicas": { to: "3" },
  "activator.ports": { to: '"30000-30099"' },
  "activator.holdSeconds": { to: "30" },
  "activator.mostPerModel": { to: "10" },
  "activator.most": { to: "20" },
  "activator.mostPerPod": { to: "5" },
  "activator.resources.requests.cpu": { to: '"1"' },
  "activator.resources.requests.memory": { to: '"1Gi"' },
  "activator.resources.limits.memory": { to: '"2Gi"' },
  "crds.enabled": { to: "false" },
  "crds.keep": { to: "false" },
  "serviceAccount.create": { to: "false" },
  "serviceAccount.name": { to: '"other"' },
  "serviceAccount.annotations": { to: '{"other": "yes"}' },
  "rbac.create": { to: "false" },
  "rbac.userRoles": { to: "false" },
  "resources.requests.cpu": { to: '"1"' },
  "resources.requests.memory": { to: '"1Gi"' },
  "resources.limits.memory": { to: '"2Gi"' },
  podAnnotations: { to: '{"other": "yes"}' },
  podLabels: { to: '{"other": "yes"}' },
  priorityClassName: { to: '"other"' },
  nodeSelector: { to: '{"other": "yes"}' },
  tolerations: { to: '[{"key": "other"}]' },
  affinity: { to: '{"podAffinity": {}}' },
  "podDisruptionBudget.enabled": { to: "false" },
  "networkPolicy.enabled": { to: "false" },
  "networkPolicy.apiServerPorts": { to: "[8443]" },
  "networkPolicy.metricsFrom": { to: "[]" },
  "networkPolicy.modelNamespaces": { to: '["other"]' },
  "networkPolicy.inferenceFrom": { to: "[]" },
  "networkPolicy.modelEgress": { to: "[]" },
  "podMonitor.enabled": { to: "false" },
  "podMonitor.interval": { to: '"1m"' },
  "podMonitor.labels": { to: '{"other": "yes"}' },
};

const POD_MONITOR = "monitoring.coreos.com/v1/PodMonitor";

/** The fields of the Prometheus operator's kind that are used here; any other is refused. */
const podMonitors = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "podmonitors.monitoring.coreos.com" },
  spec: {
    group: "monitoring.coreos.com",
    scope: "Namespaced",
    names: { kind: "PodMonitor", plural: "podmonitors", singular: "podmonitor" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: {
                type: "object",
                required: ["selector", "podMetricsEndpoints"],
                properties: {
                  selector: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
                  namespaceSelector: {
                    type: "object",
                    properties: { any: { type: "boolean" }, matchNames: { type: "array", items: { type: "string" } } },
                  },
                  podTargetLabels: { type: "array", items: { type: "string" } },
                  podMetricsEndpoints: {
                    type: "array",
                    items: {
                      type: "object",
                      properties: {
                        port: { type: "string" },
                        path: { type: "string" },
                        interval: { type: "string", pattern: "^[0-9]+(ms|s|m|h)$" },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};

type Policy = Manifest & {
  metadata: { namespace: string };
  spec: {
    podSelector: { matchLabels: Record<string, string> };
    ingress: { from?: { namespaceSelector?: object; podSelector?: object }[]; ports: { port: number }[] }[];
    egress: unknown[];
  };
};

describe("the chart", () => {
  it("passes helm's own checks with default and with all values", async () => {
    await helm("lint", "--strict", chart);
    await helm("lint", "--strict", chart, "--values", full);
  });

  it.each([
    ["default", []],
    ["all", ["--values", full]],
  ])("makes objects that the API server accepts to the letter, with %s values", async (_, args) => {
    const namespace = await server.namespace("chart");
    const own = `watchNamespaces={${namespace}},networkPolicy.modelNamespaces={${namespace}}`;
    const scope = ["--namespace", namespace, ...(args.length > 0 ? ["--set", own] : [])];
    const items = manifests(await template(...args, ...scope));
    expect(items.length).toBeGreaterThan(10);
    await kubectl(["create", "--dry-run=server", "--validate=strict", "--filename=-"], {
      apiVersion: "v1",
      kind: "List",
      items,
    });
  });

  it.each([
    ["default", []],
    ["all", ["--values", full]],
  ])("makes only pods that the restricted Pod Security Standard admits, with %s values", async (_, args) => {
    const namespace = await server.namespace("chart");
    await kubectl(["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    const items = pods(manifests(await template(...args, "--namespace", namespace)));
    expect(items).toHaveLength(3);
    const create = ["create", "--dry-run=server", "--namespace", namespace, "--filename=-"];
    await kubectl(create, { apiVersion: "v1", kind: "List", items });
    const bare = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "bare" },
      spec: { containers: [{ name: "a", image: "a" }] },
    };
    await expect(kubectl(create, bare)).rejects.toThrow("violates PodSecurity");
  });

  it("ignores no value: each one, changed alone, changes what is rendered", async () => {
    const values: unknown = parse(await readFile(join(chart, "values.yaml"), "utf8"));
    expect(Object.keys(changes).toSorted()).toEqual(leaves(values).toSorted());
    const plain = await template("--values", full, "--api-versions", POD_MONITOR);
    for (const [path, { to, besides = [] }] of Object.entries(changes)) {
      const base = [
        "--values",
        full,
        "--api-versions",
        POD_MONITOR,
        ...besides.flatMap((setting) => ["--set-json", setting]),
      ];
      const [before, after] = await Promise.all([
        besides.length === 0 ? plain : template(...base),
        template(...base, "--set-json", `${path}=${to}`),
      ]);
      expect({ path, changed: before !== after }).toEqual({ path, changed: true });
    }
  }, 300_000);

  it.each([
    "",
    "image.",
    "runtimeImage.",
    "crds.",
    "serviceAccount.",
    "rbac.",
    "resources.",
    "podDisruptionBudget.",
    "caBundle.",
    "networkPolicy.",
    "podMonitor.",
    "activator.",
    "defaultRequests.",
    "energy.",
    "proxy.",
  ])("refuses a value that it does not know: %sunknown", async (prefix) => {
    await expect(template("--set", `${prefix}unknown=1`)).rejects.toThrow(
      /additional properties 'unknown' not allowed/i,
    );
  });

  it("refuses what cannot be: a log level, a digest, a request, a port, a peer, an interval", async () => {
    await expect(template("--set", "logLevel=loud")).rejects.toThrow(/logLevel/);
    await expect(template("--set", "image.digest=abc")).rejects.toThrow(/digest/);
    await expect(template("--set", "defaultRequests.cpu=much")).rejects.toThrow(/cpu/);
    await expect(template("--set", "energy.pue=0.5")).rejects.toThrow(/pue/);
    await expect(template("--set", "proxy.url=http://me:secret@proxy")).rejects.toThrow(/proxy/);
    await expect(template("--set", "networkPolicy.apiServerPorts={https}")).rejects.toThrow(/apiServerPorts/);
    await expect(template("--set-json", 'networkPolicy.metricsFrom=[{"pods": {}}]')).rejects.toThrow(/metricsFrom/);
    await expect(template("--set", "podMonitor.interval=often")).rejects.toThrow(/interval/);
  });

  it("lets only the operator ask how a model's pods do, everybody ask for predictions, and the pods call each other alone", async () => {
    const set = ["--set", "networkPolicy.enabled=true,watchNamespaces={team-a,team-b}"];
    const all = manifests(await template(...set)).filter(({ kind }) => kind === "NetworkPolicy") as Policy[];
    const [activator, operator, ...models] = all;
    const operatorLabels = operator?.spec.podSelector.matchLabels;
    expect(operatorLabels).toMatchObject({ [LABELS.name]: "modelwright-operator" });
    // Users ask for models without pods at the activator, and only the operator asks it what it holds.
    expect(activator?.spec).toMatchObject({
      podSelector: { matchLabels: { [LABELS.name]: "modelwright-activator" } },
      ingress: [
        { from: [{ podSelector: { matchLabels: operatorLabels } }], ports: [{ port: 8081 }] },
        { ports: [{ port: 20_000, endPort: 21_999 }] },
      ],
    });
    expect(models.map(({ metadata }) => metadata.namespace)).toEqual(["team-a", "team-b"]);
    const siblings = [{ podSelector: { matchLabels: { [LABELS.name]: "modelwright-runtime" } } }];
    const betweenPods = [PORTS.http, PORTS.grpc, PORTS.workers].map((port) => ({ protocol: "TCP", port }));
    for (const { spec } of models) {
      expect(spec.podSelector).toEqual({ matchLabels: { [LABELS.name]: "modelwright-runtime" } });
      const namespaceSelector = { matchLabels: { "kubernetes.io/metadata.name": "modelwright-system" } };
      expect(spec.ingress).toEqual([
        {
          from: [{ namespaceSelector, podSelector: { matchLabels: operatorLabels } }],
          ports: [{ protocol: "TCP", port: PORTS.management }],
        },
        { ports: [PORTS.http, PORTS.grpc].map((port) => ({ protocol: "TCP", port })) },
        { from: siblings, ports: betweenPods },
      ]);
      expect(spec.egress).toEqual([
        { to: siblings, ports: betweenPods },
        { ports: ["UDP", "TCP"].map((protocol) => ({ protocol, port: 53 })) },
      ]);
    }
  });

  it("makes PodMonitors where their kind exists, and says so where it does not", async () => {
    const namespace = await server.namespace("chart");
    const asked = ["--set", "podMonitor.enabled=true,crds.enabled=false"];
    const install = () => helm("upgrade", "--install", "models", chart, "--namespace", namespace, ...asked);
    expect(await install()).toContain("this cluster has no kind PodMonitor");
    await kubectl(["apply", "--filename=-"], podMonitors);
    await kubectl(["wait", "--for=condition=Established", "crd", "podmonitors.monitoring.coreos.com"]);
    expect(await install()).not.toContain("no kind PodMonitor");
    const made = await kubectl(["get", "podmonitors", "--namespace", namespace, "--output=name"]);
    const names = ["", "-activator", "-models"].map(
      (part) => `podmonitor.monitoring.coreos.com/models-modelwright${part}`,
    );
    expect(made.trim().split("\n")).toEqual(names);
    const args = [...asked, "--api-versions", POD_MONITOR, "--namespace", namespace];
    const items = manifests(await template(...args)).filter(({ kind }) => kind === "PodMonitor");
    const list = { apiVersion: "v1", kind: "List", items };
    await kubectl(["apply", "--dry-run=server", "--validate=strict", "--filename=-"], list);
    await helm("uninstall", "models", "--namespace", namespace);
  }, 60_000);

  it("installs and upgrades the three kinds, and leaves them when it is uninstalled", async () => {
    const namespace = await server.namespace("chart");
    const kinds = async (): Promise<string[]> =>
      (await kubectl(["get", "crd", "--output=name"])).split("\n").filter((name) => name.endsWith("modelwright.dev"));
    const install = (...args: string[]) =>
      helm("upgrade", "--install", "models", chart, "--namespace", namespace, ...args);
    expect(await install()).toContain(`looks after all namespaces`);
    expect(await kinds()).toHaveLength(3);
    await kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"]);
    await install("--set", "logLevel=debug");
    const args = ["get", "deployment", "models-modelwright", "--namespace", namespace, "--output=jsonpath={..args}"];
    expect(await kubectl(args)).toContain("--log-level=debug");
    await helm("uninstall", "models", "--namespace", namespace);
    expect(await kinds()).toHaveLength(3);
    const elsewhere = ["--namespace", await server.namespace("chart")];
    await expect(helm("install", "others", chart, ...elsewhere)).rejects.toThrow("invalid ownership metadata");
    await helm("upgrade", "--install", "others", chart, ...elsewhere, "--take-ownership");
  }, 60_000);
});
