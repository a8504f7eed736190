/** The one builder of pods: whatever the operator runs passes the restricted Pod Security Standard. */
import { basename, dirname } from "node:path/posix";
import type { Gpu, PodOverrides, Resources } from "../../crds/common.ts";
import { CA_FILE, ENV, LABELS, MANAGED_BY, PATHS } from "../../crds/contract/names.ts";
import type { Run } from "../../crds/contract/run.ts";
import { TRAFFIC_ANNOTATION } from "../../crds/contract/traffic.ts";
import type { PodDefaults } from "../config.ts";
import { gpuClaims, gpuLimits, gpuTolerations } from "./gpu.ts";
import { nodePlacement } from "./placement.ts";
import type { Container, PodSpec, PodTemplate, Volume, VolumeMount } from "./types.ts";
import { accessNames, claimMounts, inputUris, outputUris } from "./uris.ts";

/** Name of the only container. */
export const CONTAINER = "runtime";
export const JOB_FILE = "job.json";

/** Owner of files on volumes; any user but root would do. */
const USER = 65532;

export interface PodRequest {
  /** What the pod is told to do. */
  readonly run: Run;
  /** Name of the ConfigMap that holds `job.json`. */
  readonly configMap: string;
  readonly image: string;
  /** Labels that the pod's owner finds it by. */
  readonly labels: Readonly<Record<string, string>>;
  readonly gpu?: Gpu | undefined;
  readonly resources?: Resources | undefined;
  readonly pod?: PodOverrides | undefined;
  /** For what the fields above do not say. */
  readonly defaults: PodDefaults;
  /** What differs between jobs and serving pods. */
  readonly container?: Partial<Container>;
  readonly spec?: Partial<PodSpec>;
  /** Besides those of every pod. */
  readonly volumes?: readonly { readonly volume: Volume; readonly mount: VolumeMount }[];
}

const COMMANDS = { TrainingRun: "train", OptimizationRun: "optimize", ServingRun: "serve" } as const;

export function podTemplate(request: PodRequest): PodTemplate {
  const { labels = {}, annotations } = request.pod ?? {};
  return {
    metadata: {
      labels: { ...labels, ...request.labels, [LABELS.managedBy]: MANAGED_BY, [LABELS.name]: "modelwright-runtime" },
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: podSpec(request),
  };
}

function podSpec(request: PodRequest): PodSpec {
  const { run, configMap, gpu, pod = {}, defaults } = request;
  const { resourceClaims } = gpuClaims(gpu);
  const tolerations = [...(pod.tolerations ?? []), ...gpuTolerations(gpu)];
  return withoutUndefined({
    ...request.spec,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      // A large volume is not walked at every start when its root already belongs to the group.
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    ...nodePlacement(pod, gpu, defaults),
    tolerations: tolerations.length === 0 ? undefined : tolerations.map(withoutUndefined),
    priorityClassName: pod.priorityClassName,
    serviceAccountName: pod.serviceAccountName,
    runtimeClassName: pod.runtimeClassName,
    schedulerName: pod.schedulerName,
    imagePullSecrets: pod.imagePullSecrets ?? pullSecrets(defaults),
    resourceClaims,
    containers: [container(request)],
    volumes: [...volumes(run, configMap), ...(request.volumes ?? []).map(({ volume }) => volume)],
  });
}

function container(request: PodRequest): Container {
  const { run, image, gpu, resources = {}, pod = {} } = request;
  const { claims } = gpuClaims(gpu);
  return {
    ...request.container,
    name: CONTAINER,
    image,
    args: [COMMANDS[run.kind], "--job", PATHS.job, ...(serves(run) ? ["--traffic", PATHS.traffic] : [])],
    env: [...threads(resources), ...energy(request), ...allowedHosts(request), ...proxy(request), ...(pod.env ?? [])],
    resources: {
      limits: { ...amounts(resources.limits), ...gpuLimits(gpu) },
      requests: { ...defaultRequests(request), ...amounts(resources.requests) },
      ...(claims === undefined ? {} : { claims }),
    },
    securityContext: {
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
    // Never the log: it may hold more than the message that the runtime has checked.
    terminationMessagePolicy: "File",
    volumeMounts: [...volumeMounts(run), ...(request.volumes ?? []).map(({ mount }) => mount)],
  };
}

/** Without a limit the engine takes what the node has. */
function threads(resources: Resources): NonNullable<Container["env"]> {
  if (resources.limits?.["cpu"] === undefined) return [];
  const resourceFieldRef = { containerName: CONTAINER, resource: "limits.cpu", divisor: "1" };
  return [{ name: ENV.threads, valueFrom: { resourceFieldRef } }];
}

/** What jobs reckon their energy with, where it is not the default. */
function energy({ run, defaults }: PodRequest): NonNullable<Container["env"]> {
  const given = defaults.energy ?? [];
  return serves(run) || given.length === 0 ? [] : [{ name: ENV.energy, value: given.join(",") }];
}

/** Only for pods that fetch from a web server: an administrator's change starts no other pod anew. */
function allowedHosts({ run, defaults }: PodRequest): NonNullable<Container["env"]> {
  const { allowedHosts: hosts = [] } = defaults;
  const asks = inputUris(run).some((uri) => uri.startsWith("https://"));
  return hosts.length === 0 || !asks ? [] : [{ name: ENV.allowedHosts, value: hosts.join() }];
}

/** For pods that fetch from afar, by the names that are common for it; what the object itself says wins. */
function proxy({ run, pod, defaults }: PodRequest): NonNullable<Container["env"]> {
  const { url, exclude = [] } = defaults.proxy ?? {};
  if (url === undefined || [...inputUris(run), ...outputUris(run)].every((uri) => uri.startsWith("pvc://"))) return [];
  const own = new Set(pod?.env?.map(({ name }) => name));
  const all = { HTTPS_PROXY: url, HTTP_PROXY: url, NO_PROXY: exclude.join(",") };
  return Object.entries(all).flatMap(([name, value]) => (own.has(name) ? [] : [{ name, value }]));
}

function amounts(quantities: Resources["limits"]): Record<string, string> {
  return Object.fromEntries(Object.entries(quantities ?? {}).map(([name, amount]) => [name, String(amount)]));
}

/** A limit without a request is the request: no default may come between. */
function defaultRequests({ resources, defaults }: PodRequest): Record<string, string> {
  return Object.fromEntries(
    Object.entries(defaults.requests).filter(([name]) => resources?.limits?.[name] === undefined),
  );
}

function pullSecrets({ imagePullSecrets = [] }: PodDefaults): PodSpec["imagePullSecrets"] {
  return imagePullSecrets.length === 0 ? undefined : imagePullSecrets.map((name) => ({ name }));
}

function serves(run: Run): boolean {
  return run.kind === "ServingRun";
}

/** The pod's own annotation, as a file that follows it. */
const TRAFFIC_VOLUME = {
  name: "traffic",
  downwardAPI: {
    items: [
      { path: basename(PATHS.traffic), fieldRef: { fieldPath: `metadata.annotations['${TRAFFIC_ANNOTATION}']` } },
    ],
  },
} satisfies Volume;

function volumes(run: Run, configMap: string): Volume[] {
  return [
    { name: "job", configMap: { name: configMap, items: [{ key: JOB_FILE, path: JOB_FILE }] } },
    { name: "scratch", emptyDir: {} },
    ...(serves(run) ? [TRAFFIC_VOLUME] : []),
    ...claimMounts(run).map(({ claim }, index) => ({
      name: `claim-${index}`,
      persistentVolumeClaim: { claimName: claim },
    })),
    ...accessVolumes(run),
  ];
}

function volumeMounts(run: Run): VolumeMount[] {
  return [
    { name: "job", mountPath: dirname(PATHS.job), readOnly: true },
    { name: "scratch", mountPath: PATHS.scratch },
    ...(serves(run) ? [{ name: TRAFFIC_VOLUME.name, mountPath: dirname(PATHS.traffic), readOnly: true }] : []),
    ...claimMounts(run).map(({ claim, readOnly }, index) => ({
      name: `claim-${index}`,
      mountPath: `${PATHS.volumes}/${claim}`,
      ...(readOnly ? { readOnly } : {}),
    })),
    ...accessMounts(run),
  ];
}

/** Secrets come to the pod by the kubelet; the operator knows their names only. */
function accessVolumes(run: Run): Volume[] {
  const { secrets, caBundles } = accessNames(run);
  return [
    ...secrets.map((secretName, index) => ({
      name: `credentials-${index}`,
      secret: { secretName, defaultMode: 0o440 },
    })),
    ...caBundles.map((name, index) => ({
      name: `ca-bundle-${index}`,
      configMap: { name, items: [{ key: CA_FILE, path: CA_FILE }] },
    })),
  ];
}

function accessMounts(run: Run): VolumeMount[] {
  const { secrets, caBundles } = accessNames(run);
  return [
    ...secrets.map((secret, index) => ({
      name: `credentials-${index}`,
      mountPath: `${PATHS.credentials}/${secret}`,
      readOnly: true,
    })),
    ...caBundles.map((configMap, index) => ({
      name: `ca-bundle-${index}`,
      mountPath: `${PATHS.caBundles}/${configMap}`,
      readOnly: true,
    })),
  ];
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** An absent field stays absent in the API. */
function withoutUndefined<T extends object>(object: T): Defined<T> {
  // Only undefined members are removed.
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>;
}
