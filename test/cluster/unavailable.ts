/** A cluster cannot be here. The message says exactly why and what to do about it. */
export class ClusterUnavailable extends Error {
  override readonly name = "ClusterUnavailable";
  readonly code = "ClusterUnavailable";
  readonly why: string;
  readonly remedy: string;

  constructor(why: string, remedy: string, cause?: unknown) {
    super(`No local Kubernetes cluster: ${why}. ${remedy}.`, cause === undefined ? {} : { cause });
    this.why = why;
    this.remedy = remedy;
  }
}
