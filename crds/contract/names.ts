/** Names that operator and runtime agree on. */

export const LABELS = {
  managedBy: "app.kubernetes.io/managed-by",
  name: "app.kubernetes.io/name",
  modelDeployment: "modelwright.dev/model-deployment",
  revision: "modelwright.dev/revision",
  trainingJob: "modelwright.dev/training-job",
  optimizationJob: "modelwright.dev/optimization-job",
  run: "modelwright.dev/run",
  /** On the EndpointSlice that sends a deployment's requests to the activator. */
  activator: "modelwright.dev/activator",
} as const;

export const MANAGED_BY = "modelwright";

export const PORTS = { http: 8080, grpc: 9000, management: 9090, workers: 9400 } as const;

/** Where a pod finds things. */
export const PATHS = {
  /** The run's specification, from an immutable ConfigMap. */
  job: "/etc/modelwright/job.json",
  /** A claim is mounted at `<volumes>/<claim>`. */
  volumes: "/var/lib/modelwright/pvc",
  /** A Secret with credentials is mounted at `<credentials>/<secret>`, a file for each key. */
  credentials: "/var/run/modelwright/credentials",
  /** A ConfigMap with authorities is mounted at `<caBundles>/<config map>`. */
  caBundles: "/etc/modelwright-ca",
  /** The only writable place besides volumes. */
  scratch: "/tmp",
  /** The secret that the workers of a run share. */
  workersKey: "/etc/modelwright/workers/key",
  terminationMessage: "/dev/termination-log",
  /** What to divert to another version: the pod's own annotation, as `TrafficDirective`. */
  traffic: "/etc/modelwright-pod/traffic.json",
} as const;

/** Environment variables that the operator sets and the runtime reads. */
export const ENV = {
  /** Folder under which `pvc://CLAIM/PATH` is found; default `PATHS.volumes`. */
  volumes: "MODELWRIGHT_VOLUMES",
  /** Engine threads; from the pod's cpu limit. */
  threads: "MODELWRIGHT_THREADS",
  logLevel: "MODELWRIGHT_LOG_LEVEL",
  /** What energy is reckoned with: `gramsPerKWh=475,pue=1,…`; what is not said has its default. */
  energy: "MODELWRIGHT_ENERGY",
  /** Folder with a folder for each Secret with credentials; default `PATHS.credentials`. */
  credentials: "MODELWRIGHT_CREDENTIALS",
  /** Folder with a folder for each ConfigMap with authorities; default `PATHS.caBundles`. */
  caBundles: "MODELWRIGHT_CA_BUNDLES",
  /** Hosts, comma-separated, that https:// URIs may name although their addresses are private. */
  allowedHosts: "MODELWRIGHT_ALLOWED_HOSTS",
} as const;

/** The key of a ConfigMap with authorities. */
export const CA_FILE = "ca.crt";

/** Kubernetes keeps this much of a termination message. */
export const TERMINATION_MESSAGE_BYTES = 4096;

/** Name of the artefact's manifest, written last: the commit point. */
export const MANIFEST_FILE = "modelwright.json";
