/** A machine-learning bill of materials: CycloneDX 1.6 with a model card (cyclonedx.org/docs/1.6/json). */
import { createHash } from "node:crypto";
import { type Facts, PRODUCER, hexOf } from "./facts.ts";

/** A UUID of version 8 that stands for the same facts each time. */
function serialNumber(facts: Facts): string {
  const bytes = createHash("sha256").update(JSON.stringify(facts)).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString("hex");
  return `urn:uuid:${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")}`;
}

const hash = (digest: string) => [{ alg: "SHA-256", content: hexOf(digest) }];

function environment({ energy }: Facts) {
  if (energy === undefined) return {};
  const provider = {
    description: `the grid, at ${energy.gramsPerKWh} g/kWh; ${energy.source}, PUE ${energy.pue}`,
    organization: { name: "operator of the cluster" },
    energySource: "unknown",
    energyProvided: { value: energy.kWh, unit: "kWh" },
  };
  return {
    considerations: {
      environmentalConsiderations: {
        energyConsumptions: [
          {
            activity: "training",
            energyProviders: [provider],
            activityEnergyCost: { value: energy.kWh, unit: "kWh" },
            co2CostEquivalent: { value: energy.gCO2e / 1e6, unit: "tCO2eq" },
          },
        ],
      },
    },
  };
}

const format = ({ name, datatype, shape }: Facts["signature"]["inputs"][number]) => ({
  format: `${name}: ${datatype} [${shape.join(", ")}]`,
});

function modelCard(facts: Facts) {
  const { signature, evaluation, lineage, training } = facts;
  const metrics = Object.entries(evaluation ?? {}).map(([type, value]) => ({
    type,
    value: String(value),
    slice: "held-out test data",
  }));
  return {
    modelParameters: {
      ...(training === undefined ? {} : { approach: { type: "supervised" } }),
      ...(lineage.dataset === undefined ? {} : { datasets: [{ ref: "dataset" }] }),
      inputs: signature.inputs.map(format),
      outputs: signature.outputs.map(format),
    },
    ...(metrics.length === 0 ? {} : { quantitativeAnalysis: { performanceMetrics: metrics } }),
    ...environment(facts),
  };
}

/** `licence`: an SPDX expression. */
export function billOfMaterials(facts: Facts): object {
  const { name, lineage, licence, files, createdAt } = facts;
  const { dataset, parents, software } = lineage;
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: serialNumber(facts),
    version: 1,
    metadata: {
      timestamp: createdAt,
      tools: { components: [{ type: "application", name: PRODUCER }] },
      component: {
        type: "machine-learning-model",
        "bom-ref": "model",
        name,
        version: lineage.run,
        ...(licence === undefined ? {} : { licenses: [{ expression: licence }] }),
        modelCard: modelCard(facts),
        components: files.map(({ path, sha256 }) => ({ type: "file", name: path, hashes: hash(sha256) })),
      },
    },
    components: [
      ...(dataset === undefined
        ? []
        : [{ type: "data", "bom-ref": "dataset", name: "training data", hashes: hash(dataset) }]),
      ...parents.map((digest, index) => ({
        type: "machine-learning-model",
        "bom-ref": `parent-${index}`,
        name: "parent model",
        hashes: hash(digest),
      })),
      ...Object.entries(software)
        .filter(([, version]) => /^\d+\.\d/.test(version))
        .map(([program, version]) => ({ type: "library", "bom-ref": `software-${program}`, name: program, version })),
    ],
    dependencies: [
      {
        ref: "model",
        dependsOn: [...(dataset === undefined ? [] : ["dataset"]), ...parents.map((_, index) => `parent-${index}`)],
      },
    ],
  };
}
