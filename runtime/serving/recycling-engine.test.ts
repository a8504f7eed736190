import { Failure } from "../failure.ts";
import { RecyclingEngine } from "./recycling-engine.ts";
import { settle } from "./testing/fake-clock.ts";
import { FakeEngine } from "./testing/fake-engine.ts";
import type { Signature, TensorSpec } from "./tensor.ts";

const X: TensorSpec = { name: "x", datatype: "FP32", shape: [-1, 1] };
const SIGNATURE: Signature = { inputs: [X], outputs: [X] };
const INPUTS = [{ ...X, shape: [2, 1], data: Float32Array.of(1, 2) }];
const MODEL = { dir: "/m", shownAs: "pvc://models/m", engine: "Auto" } as const;

function recycling(outcomes: readonly (Failure | Signature)[] = []) {
  const engines: FakeEngine[] = [];
  const told: string[] = [];
  const engine = new RecyclingEngine({
    start: () => {
      const next = new FakeEngine(outcomes[engines.length] ?? SIGNATURE);
      engines.push(next);
      return next;
    },
    onRecycle: ({ grownBytes, failure }) => told.push(failure?.reason ?? `grown by ${grownBytes}`),
    settledBatches: 2,
    growthBytes: 100,
  });
  return { engine, engines, told };
}

async function ask(engine: RecyclingEngine, times: number): Promise<void> {
  for (let count = 0; count < times; count++) await engine.infer(INPUTS);
  await settle();
}

describe("An engine", () => {
  it("that keeps its memory is left alone", async () => {
    const { engine, engines } = recycling();
    await engine.load(MODEL);
    await ask(engine, 50);
    expect(engines).toHaveLength(1);
  });

  it("may take what it needs at first", async () => {
    const { engine, engines } = recycling();
    await engine.load(MODEL);
    await ask(engine, 1);
    Object.assign(engines[0] ?? {}, { memoryBytes: 10_000 });
    await ask(engine, 10);
    expect(engines).toHaveLength(1);
  });

  it("that keeps ever more is replaced by one that has computed the same before", async () => {
    const { engine, engines, told } = recycling();
    await engine.load(MODEL);
    await ask(engine, 5);
    Object.assign(engines[0] ?? {}, { memoryBytes: 1101, peakMemoryBytes: 2000 });
    await ask(engine, 1);
    expect(engines[1]?.shapes).toEqual([[2, 1]]);
    expect(engines[0]?.closed).toBe(false);
    let ended = false;
    void engine.ended.then(() => (ended = true));
    expect(await engine.infer(INPUTS)).toEqual(INPUTS);
    await settle();
    expect([engines[0]?.closed, engines[1]?.shapes.length, ended]).toEqual([true, 2, false]);
    expect(told).toEqual(["grown by 101"]);
    expect(engine.peakMemoryBytes).toBe(2000);
    engines[1]?.end({ code: 1, signal: null });
    expect(await engine.ended).toEqual({ code: 1, signal: null });
  });

  it("that cannot be replaced goes on, and says so once", async () => {
    const { engine, engines, told } = recycling([SIGNATURE, new Failure("OutOfMemory", "none left")]);
    await engine.load(MODEL);
    await ask(engine, 5);
    Object.assign(engines[0] ?? {}, { memoryBytes: 5000 });
    await ask(engine, 50);
    expect(told).toEqual(["grown by 4000", "OutOfMemory"]);
    expect([engines.length, engines[0]?.closed, engines[1]?.closed]).toEqual([2, false, true]);
  });

  it("on a GPU ends first, as two do not fit", async () => {
    const { engine, engines } = recycling();
    const [first] = engines;
    Object.assign(first ?? {}, {
      load: () => Promise.resolve({ signature: SIGNATURE, engine: "Fake", device: "H200" }),
    });
    await engine.load(MODEL);
    await ask(engine, 5);
    Object.assign(first ?? {}, { memoryBytes: 5000 });
    await ask(engine, 1);
    expect(await engine.ended).toEqual({ code: null, signal: "SIGKILL" });
    expect(engines).toHaveLength(1);
  });

  it("takes its replacement with it when it is closed", async () => {
    const { engine, engines } = recycling();
    await engine.load(MODEL);
    await ask(engine, 5);
    Object.assign(engines[0] ?? {}, { memoryBytes: 5000 });
    await ask(engine, 1);
    await engine.close();
    expect(engines.map(({ closed }) => closed)).toEqual([true, true]);
  });
});
