import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artefactDigest, type ArtefactManifest } from "../../crds/contract/artefact.ts";
import { readServeOptions } from "./options.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "serve-options-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const api = "apiVersion: modelwright.dev/v1alpha1";
const training = `${api}
kind: TrainingJob
metadata: { name: digits }
spec:
  dataset: { train: { format: Csv, uri: pvc://models/train.csv, label: label } }
  model: { layers: [{ dense: { units: 1 } }] }
  loss: meanSquaredError
  optimizer: { sgd: {} }
  epochs: 1
  output: { uri: pvc://models/digits }
`;
const deployment = (model: string) => `${api}
kind: ModelDeployment
metadata: { name: reader }
spec: { model: ${model} }
`;

async function write(name: string, text: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, text);
  return file;
}

function artefact(run: string, createdAt: string): ArtefactManifest {
  const job = { kind: "TrainingJob", namespace: "default", name: "digits", uid: "" };
  return {
    schemaVersion: 1,
    name: "digits",
    format: "TfjsLayers",
    files: [],
    signature: { inputs: [], outputs: [] },
    parameters: 0,
    lineage: { job, run, specHash: run, parents: [], software: {} },
    createdAt,
  };
}

async function writeArtefact(manifest: ArtefactManifest): Promise<void> {
  const home = join(folder, "models", "digits", manifest.lineage.run);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, "modelwright.json"), JSON.stringify(manifest));
}

describe("modelwright serve with the manifests of the cluster", () => {
  it("serves the newest artefact of the job that model.from names, under the deployment's name", async () => {
    const newest = artefact("digits-2", "2026-02-02T00:00:00Z");
    await writeArtefact(newest);
    await writeArtefact(artefact("digits-1", "2026-01-01T00:00:00Z"));
    const files = [
      await write("a.yaml", deployment("{ from: { kind: TrainingJob, name: digits } }")),
      await write("b.yaml", training),
    ];
    const options = await readServeOptions([...files.flatMap((file) => ["-f", file]), "--volumes", folder], {});
    const uri = "pvc://models/digits/digits-2";
    expect(options.uri).toBe(uri);
    const dir = join(folder, "models", "digits", "digits-2");
    expect(await options.models()).toMatchObject([
      { name: "reader", versions: [{ version: "1", uri, dir, digest: artefactDigest(newest) }] },
    ]);
  });

  it("says what is missing when the job's manifest is not given", async () => {
    const file = await write("a.yaml", deployment("{ from: { kind: TrainingJob, name: digits } }"));
    await expect(readServeOptions(["-f", file, "--volumes", folder], {})).rejects.toThrow(
      /TrainingJob digits is not given; add -f/,
    );
  });

  it("takes exactly one ModelDeployment", async () => {
    const file = await write("b.yaml", training);
    await expect(readServeOptions(["-f", file], {})).rejects.toThrow(/exactly one manifest of kind ModelDeployment/);
  });

  it("takes from the manifest how long requests may wait and which are logged", async () => {
    await writeArtefact(artefact("digits-1", "2026-01-01T00:00:00Z"));
    const spec = "{ uri: pvc://models/digits/digits-1 }, queue: { timeout: 1m30s }, logging: { access: All }";
    const file = await write("a.yaml", deployment(spec));
    const options = await readServeOptions(["-f", file, "--volumes", folder], {});
    expect(options).toMatchObject({ timeoutMilliseconds: 90_000, access: "All" });
    expect(await options.models()).toMatchObject([{ settings: { queue: { maxRequests: 256 } } }]);
    await expect(readServeOptions([folder, "--access-log", "Some"], {})).rejects.toThrow(/--access-log: Some is none/);
    await expect(readServeOptions(["-f", file, "--access-log", "All"], {})).rejects.toThrow(/belong to folders/);
  });

  it("takes one source only", async () => {
    await expect(readServeOptions(["-f", "a.yaml", "--job", "job.json"], {})).rejects.toThrow(/give one folder/);
    await expect(readServeOptions([], {})).rejects.toThrow(/give one folder/);
  });
});
