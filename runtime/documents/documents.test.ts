import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { parse } from "yaml";
import { billOfMaterials } from "./bill-of-materials.ts";
import type { Facts } from "./facts.ts";
import { modelCard } from "./model-card.ts";
import { provenance } from "./provenance.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;

const bare: Facts = {
  schemaVersion: 1,
  name: "digits",
  format: "TfjsLayers",
  files: [{ path: "model.json", bytes: 2, sha256: "a".repeat(64) }],
  signature: {
    inputs: [{ name: "input", datatype: "FP32", shape: [-1, 64] }],
    outputs: [{ name: "output", datatype: "FP32", shape: [-1, 10] }],
  },
  parameters: 4810,
  lineage: {
    job: { kind: "TrainingJob", namespace: "team-a", name: "digits", uid: "u-1" },
    run: "digits-abc",
    specHash: "abc",
    parents: [],
    software: { node: "24.0.0", engine: "TensorFlow", device: "CPU" },
  },
  createdAt: "2026-01-01T00:00:00.000Z",
};

const full: Facts = {
  ...bare,
  training: { loss: "sparseCategoricalCrossentropy", metrics: ["accuracy"] },
  evaluation: { loss: 0.1, accuracy: 0.98 },
  lineage: { ...bare.lineage, parents: [digest("b")], dataset: digest("c") },
  licence: "Apache-2.0",
  privacy: { epsilon: 1.2, delta: 1e-5 },
  energy: { kWh: 0.25, gCO2e: 118.75, source: "CpuModel", gramsPerKWh: 475, pue: 1 },
};

it.each([
  ["little", bare],
  ["all", full],
])("the bill of materials is valid CycloneDX 1.6 when %s is known", async (_, facts) => {
  const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
  expect(await validator.validate(JSON.stringify(billOfMaterials(facts)))).toBeNull();
});

it("the bill of materials says what the model is made of, how well it does, and what it took", () => {
  expect(billOfMaterials(full)).toMatchObject({
    metadata: {
      component: {
        name: "digits",
        version: "digits-abc",
        licenses: [{ expression: "Apache-2.0" }],
        modelCard: {
          quantitativeAnalysis: {
            performanceMetrics: expect.arrayContaining([expect.objectContaining({ type: "accuracy", value: "0.98" })]),
          },
          considerations: {
            environmentalConsiderations: {
              energyConsumptions: [
                {
                  activityEnergyCost: { value: 0.25, unit: "kWh" },
                  co2CostEquivalent: { value: 0.00011875, unit: "tCO2eq" },
                },
              ],
            },
          },
        },
        components: [{ name: "model.json", hashes: [{ alg: "SHA-256", content: "a".repeat(64) }] }],
      },
    },
    components: expect.arrayContaining([
      expect.objectContaining({ "bom-ref": "dataset" }),
      expect.objectContaining({ "bom-ref": "parent-0" }),
      expect.objectContaining({ name: "node", version: "24.0.0" }),
    ]),
  });
});

it("the same facts give the same bill of materials", () => {
  expect(billOfMaterials(full)).toEqual(billOfMaterials(structuredClone(full)));
});

it("the provenance names each file by its checksum, what it was made from, and by which job", () => {
  expect(provenance(full)).toMatchObject({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "model.json", digest: { sha256: "a".repeat(64) } }],
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: {
      buildDefinition: {
        externalParameters: { kind: "TrainingJob", namespace: "team-a", name: "digits", specHash: "abc" },
        resolvedDependencies: [
          { name: "model", digest: { sha256: "b".repeat(64) } },
          { name: "dataset", digest: { sha256: "c".repeat(64) } },
        ],
      },
      runDetails: { metadata: { invocationId: "u-1/digits-abc", finishedOn: "2026-01-01T00:00:00.000Z" } },
    },
  });
});

it("the model card can be read by people and by model hubs", () => {
  const card = modelCard(full);
  const [, metadata = "", text = ""] = /^---\n(.*?)\n---\n(.*)$/s.exec(card) ?? [];
  expect(parse(metadata)).toEqual({ license: "apache-2.0", library_name: "modelwright", tags: ["TfjsLayers"] });
  expect(text).toContain("# digits");
  expect(text).toContain("| input | `input` | FP32 | [batch, 64] |");
  expect(text).toContain("| accuracy | 0.98 |");
  expect(text).toContain("epsilon 1.2 at delta 0.00001");
  expect(text).toContain("0.25 kWh, 118.75 g CO2e");
});

it("the model card of a model of which little is known says what is missing", () => {
  expect(modelCard(bare)).toContain("No licence was declared.");
  expect(modelCard(bare)).toContain("It was not evaluated on held-out data.");
  expect(modelCard(bare)).not.toContain("## Privacy");
});
