/** What the person who installs the operator decides. */
export interface OperatorConfig {
  /** Image of pods whose spec.runtime.image is not set. */
  readonly runtimeImage: string;
  /** Requests of containers that say nothing of that resource, by resource name. */
  readonly requests: Readonly<Record<string, string>>;
}

export const DEFAULT_REQUESTS = { cpu: "100m", memory: "256Mi" } as const;
