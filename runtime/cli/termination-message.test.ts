import { Progress } from "../../crds/contract/progress.ts";
import { terminationMessage } from "./termination-message.ts";

const progress: Progress = {
  kind: "TrainingProgress",
  run: "digits-abc",
  state: "Failed",
  progressPercent: 10,
  epoch: 1,
  epochs: 3,
  step: 5,
  failure: { reason: "DataRejected", message: "bad", exitCode: 65 },
};

it("is the progress as JSON", () => {
  expect(Progress.parse(JSON.parse(terminationMessage(progress)))).toEqual(progress);
});

it("keeps to the bytes that Kubernetes keeps, and stays valid with reason and artefact", () => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`metric-${"é".repeat(20)}-${i}`, i]));
  const failure = { reason: "DataRejected" as const, message: "ü".repeat(1024), exitCode: 65 };
  const text = terminationMessage({ ...progress, metrics: many, evaluation: many, failure });
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4096);
  expect(Progress.parse(JSON.parse(text))).toMatchObject({ run: "digits-abc", failure: { reason: "DataRejected" } });
});
