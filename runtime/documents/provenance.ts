/** SLSA provenance v1 in an in-toto statement v1 (slsa.dev/spec/v1.0/provenance, in-toto attestation specification). */
import { API, type Facts, hexOf } from "./facts.ts";

const dependency = (name: string, digest: string) => ({ name, digest: { sha256: hexOf(digest) } });

export function provenance(facts: Facts): object {
  const { lineage, files, createdAt } = facts;
  const { job, run, specHash, parents, dataset, software } = lineage;
  return {
    _type: "https://in-toto.io/Statement/v1",
    subject: files.map(({ path, sha256 }) => ({ name: path, digest: { sha256 } })),
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: {
      buildDefinition: {
        buildType: `${API}/${job.kind}`,
        externalParameters: { kind: job.kind, namespace: job.namespace, name: job.name, specHash },
        internalParameters: { software },
        resolvedDependencies: [
          ...parents.map((digest) => dependency("model", digest)),
          ...(dataset === undefined ? [] : [dependency("dataset", dataset)]),
        ],
      },
      runDetails: {
        builder: { id: `${API}/operator` },
        metadata: { invocationId: `${job.uid}/${run}`, finishedOn: createdAt },
      },
    },
  };
}
