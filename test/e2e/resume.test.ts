import { jest } from "@jest/globals";
import type { Kubectl, Observed } from "../cluster/kubectl.ts";
import { digitsNamespace, type Platform, smallTraining, startPlatform, succeeded } from "./platform.ts";

jest.setTimeout(300_000);

let platform: Platform;
let kubectl: Kubectl;
let remove: () => Promise<void>;

beforeAll(async () => {
  platform = await startPlatform();
  ({ kubectl, remove } = await digitsNamespace(platform, "e2e-resume"));
});

afterAll(async () => {
  await remove();
});

const SPEC = {
  // Long enough to be met in its midst, several times.
  epochs: 1000,
  batchSize: 16,
  checkpoint: { everyEpochs: 1 },
  resources: { limits: { cpu: "1", memory: "1Gi" } },
};

const stepOf = ({ status }: Observed) => Number(status?.step ?? 0);
const trains = (least: number) => (job: Observed) => job.status?.state === "Training" && stepOf(job) >= least;
const resumedStep = ({ status }: Observed) => status?.resumed?.step;

/** What the finished model is, as far as status tells: the same weights give the same numbers. */
async function outcome(name: string) {
  const { status } = await kubectl.until("trainingjob", name, succeeded);
  const { loss, metrics, evaluation, step } = status ?? {};
  return { loss, metrics, evaluation, step };
}

it("a training goes on where it stopped when its pod is deleted or suspended, to the same model", async () => {
  await kubectl.apply(smallTraining("whole", SPEC));
  await kubectl.until("trainingjob", "whole", succeeded);

  await kubectl.apply(smallTraining("taken", SPEC));
  await kubectl.until("trainingjob", "taken", trains(200));
  const pods = ["pod", "-l", "modelwright.dev/training-job=taken"];
  await kubectl.run(["delete", ...pods, "--wait=false"]);
  const deleted = await kubectl.until("trainingjob", "taken", (job) => (resumedStep(job) ?? 0) >= 200);
  expect(deleted.status).toMatchObject({ state: "Training" });

  await kubectl.apply(smallTraining("taken", { ...SPEC, suspend: true }));
  const suspended = await kubectl.until("trainingjob", "taken", ({ status }) => status?.state === "Suspended");
  const saved = stepOf(suspended);
  await kubectl.apply(smallTraining("taken", SPEC));
  await kubectl.until("trainingjob", "taken", (job) => (resumedStep(job) ?? 0) >= saved);

  expect(await outcome("taken")).toEqual(await outcome("whole"));
  const events = await kubectl.run(["get", "events", "-o", "json"]);
  const reasons = (JSON.parse(events) as { items: { reason: string; involvedObject: { name: string } }[] }).items;
  const taken = reasons.filter(({ involvedObject }) => involvedObject.name === "taken").map(({ reason }) => reason);
  expect(taken).toEqual(expect.arrayContaining(["CheckpointSaved", "Suspended", "Resumed", "ArtefactWritten"]));
});
