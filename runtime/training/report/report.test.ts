import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { trainingRun } from "../../../crds/contract/run.ts";
import { validateManifest } from "../../../crds/kinds.ts";
import type { TrainingJob } from "../../../crds/training-job.ts";
import { inMemory } from "../../data/byte-source.ts";
import { recordsOf } from "../../data/tf-record.ts";
import { fieldsOf, textOf } from "../../formats/onnx/protobuf-reader.ts";
import type { HistoryEntry } from "../history.ts";
import { eventFile } from "./event-file.ts";
import type { Reported } from "./page.ts";
import { writeReport } from "./report.ts";

const checked = validateManifest<TrainingJob>({
  apiVersion: "modelwright.dev/v1alpha1",
  kind: "TrainingJob",
  metadata: { name: "digits" },
  spec: {
    dataset: { train: { format: "Csv", uri: "pvc://data/a.csv", label: "y" } },
    model: { layers: [{ dense: { units: 1 } }] },
    loss: "meanSquaredError",
    optimizer: { adam: {} },
    epochs: 3,
    output: { uri: "pvc://models/a" },
  },
});
if (!checked.ok) throw new Error("the manifest is wrong");

const entry = (epoch: number, loss: number, valLoss: number): HistoryEntry => ({
  epoch,
  step: 10 * epoch,
  learningRate: 0.01 / epoch,
  values: { loss, val_loss: valLoss },
  time: 1_700_000_000_000 + 1000 * epoch,
});
const history = [entry(1, 2, 3), entry(2, 1, 2.5), entry(3, 0.5, 2.75)];

const reported: Reported = {
  run: trainingRun(checked.value),
  state: {
    epoch: 3,
    epochs: 5,
    step: 30,
    steps: 50,
    loss: 0.5,
    metrics: {},
    etaSeconds: 0,
    throughput: 1234,
    history,
    stopped: { epoch: 3, bestEpoch: 2 },
  },
  parameters: 11,
  examples: { train: 100, test: 20 },
  exampleShape: [4],
  evaluation: { loss: 2.25 },
  phaseSeconds: { Training: 1.5 },
};

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "report-"));
});

afterEach(() => rm(folder, { recursive: true }));

it("the page has a curve of training and validation, all epochs, and how it ended, and loads nothing", async () => {
  await writeReport(folder, reported);
  const page = await readFile(join(folder, "documents/training.html"), "utf8");
  expect(page).toContain("<h1>Training of digits</h1>");
  expect(page.match(/<path class="line train"/g)?.length).toBe(2);
  expect(page.match(/<path class="line validation"/g)?.length).toBe(1);
  expect(page).toContain("<dd>3 of 5, ended early; epoch 2 was best</dd>");
  expect(page).toContain("<dt>On test data: loss</dt><dd>2.25</dd>");
  expect(page.match(/<tr><td>\d<\/td>/g)?.length).toBe(3);
  expect(page).not.toMatch(/https?:|<script|<link|url\(/);
});

it("names in the page are text, whatever is in them", async () => {
  const odd = { ...entry(1, 1, 1), values: { "<b>": 1 } };
  await writeReport(folder, { ...reported, state: { ...reported.state, history: [odd] } });
  expect(await readFile(join(folder, "documents/training.html"), "utf8")).not.toContain("<b>");
});

it("TensorBoard finds a run for training and one for validation", async () => {
  await writeReport(folder, reported);
  const files = await readdir(join(folder, "documents/tensorboard"), { recursive: true });
  expect(files.filter((file) => file.includes("tfevents")).toSorted()).toEqual([
    "train/events.out.tfevents.modelwright",
    "validation/events.out.tfevents.modelwright",
  ]);
});

/** Step, tag and value of each event but the first. */
async function eventsIn(bytes: Uint8Array): Promise<[number, string, number][]> {
  const found: [number, string, number][] = [];
  for await (const message of recordsOf(inMemory(bytes), "events")) {
    const fields = [...fieldsOf(message)];
    const summary = fields.find(({ number }) => number === 5)?.bytes;
    if (summary === undefined) continue;
    const value = [...fieldsOf([...fieldsOf(summary)][0]?.bytes ?? new Uint8Array())];
    const bytesOf = (number: number) => value.find((field) => field.number === number) ?? { number };
    const float = Buffer.from(bytesOf(2).bytes ?? []).readFloatLE();
    found.push([Number(fields.find(({ number }) => number === 2)?.integer), textOf(bytesOf(1)), float]);
  }
  return found;
}

it("its events have Keras' tags, and steps that count epochs from 0", async () => {
  const train = await eventsIn(eventFile(history, false) ?? new Uint8Array());
  expect(train.slice(0, 3)).toEqual([
    [0, "epoch_loss", 2],
    [0, "epoch_learning_rate", Math.fround(0.01)],
    [1, "epoch_loss", 1],
  ]);
  const validation = await eventsIn(eventFile(history, true) ?? new Uint8Array());
  expect(validation).toEqual([
    [0, "epoch_loss", 3],
    [1, "epoch_loss", 2.5],
    [2, "epoch_loss", 2.75],
  ]);
  expect(eventFile([{ ...entry(1, 1, 1), values: { loss: 1 } }], true)).toBeUndefined();
});
