import type { Exit } from "../engine/child.ts";
import { Failure } from "../failure.ts";
import { ServedModel } from "./served-model.ts";
import type { Signature, Tensor } from "./tensor.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";
import { FakeEngine } from "./testing/fake-engine.ts";

const rowsSignature: Signature = {
  inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
  outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
};

/** A model whose engines do, one after the other, what `outcomes` say; the last one again and again. */
function setUp(...outcomes: (Failure | Signature)[]) {
  const clock = new FakeClock();
  const engines: FakeEngine[] = [];
  const restarts: [string, number][] = [];
  const model = new ServedModel({
    name: "m",
    version: "1",
    revision: "m-1",
    uri: "pvc://models/m",
    digest: "sha256:0",
    model: { dir: "dir", shownAs: "pvc://models/m", engine: "Wasm" },
    startEngine: () => {
      const outcome = outcomes[Math.min(engines.length, outcomes.length - 1)] ?? rowsSignature;
      const engine = new FakeEngine(outcome);
      engines.push(engine);
      return engine;
    },
    clock,
    onRestart: (failure, attempt) => restarts.push([failure.reason, attempt]),
  });
  const x: Tensor = { name: "x", datatype: "FP32", shape: [1, 2], data: new Float32Array(2) };
  const die = async (exit: Exit = { code: 1, signal: null }) => {
    engines.at(-1)?.end(exit);
    await settle();
  };
  const pass = async (milliseconds: number) => {
    clock.advance(milliseconds);
    await settle();
  };
  return { model, engines, restarts, x, die, pass };
}

describe("served model", () => {
  it("is ready only after it was warmed up with one row and with a full batch", async () => {
    const { model, engines, x } = setUp(rowsSignature);
    expect([model.ready, model.state]).toEqual([false, "Loading"]);
    expect(() => model.submit({ inputs: [x], timeout: 1, caller: "a" })).toThrow("Model with name m is not ready.");
    expect(() => model.signature).toThrow(expect.objectContaining({ status: 503 }));
    await model.start();
    expect([model.ready, model.state]).toEqual([true, "Serving"]);
    expect(engines[0]?.shapes).toEqual([[1, 2], [64, 2]]); // prettier-ignore
    await expect(model.submit({ inputs: [x], timeout: 1, caller: "a" }).outputs).resolves.toEqual([x]);
    expect(model.progress()).toMatchObject({ state: "Serving", engine: "Fake", device: "CPU", revision: "m-1" });
  });

  it("says the same as long as it serves: what it measured when it was loaded", async () => {
    const { model, engines, x } = setUp(rowsSignature);
    expect(model.progress().peakMemoryBytes).toBeUndefined();
    await model.start();
    const first = model.progress();
    expect(first.peakMemoryBytes).toBeGreaterThan(1000);
    await model.submit({ inputs: [x], timeout: 1, caller: "a" }).outputs;
    for (const engine of engines) engine.peakMemoryBytes = 2 ** 40;
    expect(model.progress()).toEqual(first);
  });

  it("puts no rows together when the model has no batch dimension", async () => {
    const fixed: Signature = { ...rowsSignature, inputs: [{ name: "x", datatype: "FP32", shape: [1, 2] }] };
    const { model, engines, x } = setUp(fixed);
    await model.start();
    await Promise.all([1, 2, 3].map(() => model.submit({ inputs: [x], timeout: 1, caller: "a" }).outputs));
    expect(engines[0]?.shapes).toEqual([1, 2, 3, 4].map(() => [1, 2]));
  });

  it("fails at once when the model cannot be loaded, and leaves no engine behind", async () => {
    const { model, engines } = setUp(new Failure("ModelUnsupported", "no"));
    await expect(model.start()).rejects.toMatchObject({ reason: "ModelUnsupported", exitCode: 64 });
    expect(engines.map((engine) => engine.closed)).toEqual([true]);
  });

  it.each([
    ["shapes do not match", "ModelUnsupported", 64],
    ["OOM when allocating tensor", "OutOfMemory", 75],
  ])("fails when it cannot be warmed up: %s", async (message, reason, exitCode) => {
    const { model, engines } = setUp(rowsSignature);
    const started = model.start();
    for (const engine of engines) engine.infer = () => Promise.reject(new Failure("InternalError", message));
    await expect(started).rejects.toMatchObject({ reason, exitCode, message: expect.stringContaining(message) });
    expect(engines.map((engine) => engine.closed)).toEqual([true]);
  });

  it("starts a dead engine again after a growing wait, alive but not ready meanwhile", async () => {
    const { model, engines, restarts, die, pass, x } = setUp(rowsSignature);
    await model.start();
    await die({ code: null, signal: "SIGKILL" });
    expect([model.ready, model.live, model.state]).toEqual([false, true, "Loading"]);
    expect(() => model.submit({ inputs: [x], timeout: 1, caller: "a" })).toThrow("not ready");
    await pass(499);
    expect(engines.length).toBe(1);
    await pass(1);
    expect(model.ready).toBe(true);
    await die();
    await pass(999);
    expect(engines.length).toBe(2);
    await pass(1);
    expect(model.ready).toBe(true);
    expect(restarts).toEqual([["OutOfMemory", 1], ["InternalError", 2]]); // prettier-ignore
  });

  it("gives up after three restarts with the reason of the last death", async () => {
    const { model, die, pass } = setUp(rowsSignature);
    await model.start();
    for (let attempt = 0; attempt < 3; attempt++) {
      await die();
      await pass(2000);
    }
    expect(model.ready).toBe(true);
    await die({ code: null, signal: "SIGKILL" });
    await expect(model.failed).rejects.toMatchObject({ reason: "OutOfMemory", exitCode: 75 });
    expect([model.live, model.state]).toEqual([false, "Failed"]);
  });

  it("gives all restarts back after ten minutes of serving", async () => {
    const { model, restarts, die, pass } = setUp(rowsSignature);
    await model.start();
    for (let round = 0; round < 6; round++) {
      await pass(600_001);
      await die();
      await pass(500);
      expect(model.ready).toBe(true);
    }
    expect(restarts.map(([, attempt]) => attempt)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  it("does not try again what cannot pass", async () => {
    const { model, engines, die, pass } = setUp(rowsSignature, new Failure("ModelUnsupported", "changed on disk"));
    await model.start();
    await die();
    await pass(500);
    await expect(model.failed).rejects.toMatchObject({ reason: "ModelUnsupported" });
    expect(engines.length).toBe(2);
  });

  it("answers while it drains, and starts no engine again then", async () => {
    const { model, engines, die, pass, x } = setUp(rowsSignature);
    await model.start();
    model.drain();
    expect([model.ready, model.state]).toEqual([false, "Draining"]);
    await expect(model.submit({ inputs: [x], timeout: 1, caller: "a" }).outputs).resolves.toEqual([x]);
    await die();
    await pass(5000);
    expect(engines.length).toBe(1);
    expect(() => model.submit({ inputs: [x], timeout: 1, caller: "a" })).toThrow("not ready");
  });

  it("is not live when a batch does not end", async () => {
    const { model, engines, x, pass } = setUp(rowsSignature);
    await model.start();
    const [engine] = engines;
    if (engine === undefined) throw new Error("no engine");
    engine.infer = () => new Promise(() => {});
    model.submit({ inputs: [x], timeout: 1000, caller: "a" });
    await pass(300_000);
    expect(model.live).toBe(true);
    await pass(1);
    expect(model.live).toBe(false);
    expect(model.busySeconds).toBeCloseTo(300, 0);
  });
});
