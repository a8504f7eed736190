/** What the person who installs the operator decides. */
export interface OperatorConfig extends PodDefaults {
  /** Image of pods whose spec.runtime.image is not set. */
  readonly runtimeImage: string;
}

/** What generated pods get where their object says nothing of it. Pods that exist keep what they were made with. */
export interface PodDefaults {
  /** Requests of containers that say nothing of that resource, by resource name. */
  readonly requests: Readonly<Record<string, string>>;
  /** Labels that nodes must have; spec.pod.nodeSelector wins for each of them. */
  readonly nodeSelector?: Readonly<Record<string, string>>;
  /** Values of the node label kubernetes.io/arch; empty: any. Not for pods whose nodeSelector names that label. */
  readonly architectures?: readonly string[];
  /** Names of Secrets in the pod's namespace, where spec.pod.imagePullSecrets is not set. */
  readonly imagePullSecrets?: readonly string[];
  /** What jobs reckon their energy with, as `NAME=NUMBER`; what is not said has its default. */
  readonly energy?: readonly string[];
  /** Names of hosts that https:// URIs may name although their addresses are private. */
  readonly allowedHosts?: readonly string[];
  /** Through which pods reach stores that are not on volumes. */
  readonly proxy?: Proxy | undefined;
}

export interface Proxy {
  /** Such as http://proxy.example.com:3128, without credentials. */
  readonly url: string;
  /** Hosts that are reached directly; `.example.com` stands for all below it. */
  readonly exclude: readonly string[];
}

export const DEFAULT_REQUESTS = { cpu: "100m", memory: "256Mi" } as const;
