import { energyModel } from "../../crds/contract/energy-model.ts";
import type { OptimizationProgress, TrainingProgress } from "../../crds/contract/progress.ts";
import { display, resultLines } from "./display.ts";

const training: TrainingProgress = {
  kind: "TrainingProgress",
  run: "a",
  state: "Training",
  progressPercent: 50,
  epoch: 1,
  epochs: 2,
  step: 3,
  loss: 0.12345678,
  metrics: { accuracy: 0.9 },
  etaSeconds: 7,
};

function shown(terminal: boolean) {
  const lines: string[] = [];
  const drawn: string[] = [];
  const environment = {
    volumes: "",
    threads: 1,
    energy: energyModel([]),
    worker: undefined,
    terminal,
    out: (line: string) => lines.push(line),
    err: () => undefined,
    draw: (text: string) => drawn.push(text),
  };
  return { lines, drawn, screen: display(environment) };
}

it("shows a line for each epoch where lines stay", () => {
  const { lines, screen } = shown(false);
  for (const step of [3, 4]) screen.show({ ...training, step });
  screen.show({ ...training, epoch: 2, etaSeconds: 0 });
  expect(lines).toEqual(["epoch 1/2  loss 0.1235  accuracy 0.9  7 s left", "epoch 2/2  loss 0.1235  accuracy 0.9"]);
});

it.each([false, true])("says once from where a training goes on (on a terminal: %s)", (terminal) => {
  const { drawn, lines, screen } = shown(terminal);
  const resumed = { epoch: 1, step: 3, time: "2026-01-01T00:00:00Z" };
  for (const step of [4, 5]) screen.show({ ...training, resumed, step });
  const all = [...lines, ...drawn].filter((text) => text.includes("goes on from epoch 1, step 3"));
  expect(all.length).toBe(1);
});

it("redraws a bar on a terminal", () => {
  const { drawn, lines, screen } = shown(true);
  screen.show(training);
  screen.end();
  expect(drawn[0]).toContain("[============            ]  50 %  epoch 1/2");
  expect(drawn.at(-1)).toBe("\n");
  expect(lines).toEqual([]);
});

it("says at the end what was measured, and that slower is slower", () => {
  const measurement = {
    bytes: 400,
    parameters: 100,
    accuracy: 0.9,
    loss: 0.2,
    latencyP50Milliseconds: 1,
    throughputPerSecond: 10,
  };
  const progress: OptimizationProgress = {
    kind: "OptimizationProgress",
    run: "a",
    state: "Succeeded",
    progressPercent: 100,
    before: measurement,
    after: { ...measurement, bytes: 100, latencyP50Milliseconds: 2 },
    sizeRatio: 4,
    speedup: 0.5,
    accuracyDrop: 0,
    missedGoals: ["minSpeedup 1: a prediction is 0.5 times as fast"],
  };
  const text = resultLines(progress).join("\n");
  expect(text).toMatch(/bytes +400 +100 +4 x smaller/);
  expect(text).toMatch(/latency p50 in ms +1 +2 +0.5 x as fast/);
  expect(text).toMatch(/missed: minSpeedup 1/);
});

it("says at the end what the model took and what it gives away", () => {
  const energy = { kWh: 0.001234, gCO2e: 0.5862, source: "CpuModel", gramsPerKWh: 475, pue: 1 } as const;
  const privacy = { epsilon: 1.5, delta: 1e-5 };
  expect(resultLines({ ...training, energy, privacy })).toEqual([
    "  private: epsilon 1.5  delta 0.00001",
    "  energy: 0.001234 kWh, 0.5862 g CO2e, by a model of the processors",
  ]);
});
