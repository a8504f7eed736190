/** A command was called in a way that it does not know. */
import { EXIT } from "../../crds/contract/exit-code.ts";
import type { Environment } from "./environment.ts";

export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const USAGE = `modelwright: trains, optimizes and serves TensorFlow models

  modelwright train    -f training-job.yaml [options]
  modelwright optimize -f optimization-job.yaml [-f training-job.yaml] [options]
      The manifests of the cluster, run here. A second -f names the job that model.from refers to.
      --volumes DIR               pvc://CLAIM/PATH is DIR/CLAIM/PATH
      --management-port PORT      answers /progress, /metrics, /livez and /readyz there
      --termination-message FILE  writes the result there as JSON
      train --worker NUMBER --workers-key FILE --worker-address HOST:PORT --worker-address …
                                  one of spec.workers, from 0; FILE holds a secret that they share
  modelwright train | optimize --job job.json   what a pod does
  modelwright serve …          serves models; modelwright serve --help says more
  modelwright validate -f x.yaml                what admission would say, offline
  modelwright fetch SOURCE DESTINATION [--volumes DIR]
      Copies a file or folder; each is pvc://CLAIM/PATH or a path. Artefacts are checked by digest.

Exit codes: 0 done, 64 specification wrong, 65 data wrong, 66 input missing, 70 internal error, 75 temporary,
78 goal missed, 143 terminated.`;

/** Says what was wrong with the call. */
export function refuse(error: unknown, { err }: Environment): number {
  err(`modelwright: ${error instanceof Error ? error.message : String(error)}`);
  err("modelwright --help says how it is called");
  return EXIT.specification;
}
