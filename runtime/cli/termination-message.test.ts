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

it("of many candidates keeps the chosen one and those of the front, as many as there is room for", () => {
  const candidates = Array.from({ length: 32 }, (_, index) => ({
    methods: `candidate ${index}`,
    bytes: 1000,
    why: "x".repeat(200),
    chosen: index === 20,
    onFront: index > 25,
  }));
  const optimization: Progress = {
    kind: "OptimizationProgress",
    run: "small-abc",
    state: "Succeeded",
    progressPercent: 100,
    candidates,
  };
  const text = terminationMessage(optimization);
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4096);
  const read = Progress.parse(JSON.parse(text));
  const kept = (read.kind === "OptimizationProgress" ? read.candidates : undefined) ?? [];
  expect(kept.length).toBeGreaterThan(8);
  expect(kept).toEqual(candidates.filter(({ methods }) => kept.some((one) => one.methods === methods)));
  for (const { methods } of candidates.filter(({ chosen, onFront }) => chosen || onFront)) {
    expect(kept.map((one) => one.methods)).toContain(methods);
  }
});

it("keeps to the bytes that Kubernetes keeps, and stays valid with reason and artefact", () => {
  const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`metric-${"é".repeat(20)}-${i}`, i]));
  const failure = { reason: "DataRejected" as const, message: "ü".repeat(1024), exitCode: 65 };
  const text = terminationMessage({ ...progress, metrics: many, evaluation: many, failure });
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4096);
  expect(Progress.parse(JSON.parse(text))).toMatchObject({ run: "digits-abc", failure: { reason: "DataRejected" } });
});
