import * as fc from "fast-check";
import { Batcher } from "./batcher.ts";
import { RequestError } from "./request-error.ts";
import type { Tensor } from "./tensor.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";

/** An engine whose computations end when the test says so; it adds one to every value. */
class ManualEngine {
  readonly batches: number[][] = [];
  #finish: (() => void) | undefined;
  computing = 0;
  most = 0;

  readonly compute = async ([input]: readonly Tensor[]): Promise<readonly Tensor[]> => {
    if (input === undefined) throw new Error("no input");
    const data = input.data as Float32Array;
    this.batches.push([...data]);
    this.most = Math.max(this.most, ++this.computing);
    await new Promise<void>((resolve) => (this.#finish = resolve));
    this.computing -= 1;
    if (data.includes(-1)) throw new Error("boom");
    return [{ ...input, name: "y", data: data.map((value) => value + 1) }];
  };

  async finish(): Promise<void> {
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.();
    await settle();
  }
}

function rows(values: readonly number[], width = 1): Tensor[] {
  const data = new Float32Array(values);
  return [{ name: "x", datatype: "FP32", shape: [values.length / width, width], data }];
}

function setUp(maxRows = 4, maxWaiting = 8) {
  const clock = new FakeClock();
  const engine = new ManualEngine();
  const batcher = new Batcher({ compute: engine.compute, clock, maxWaiting, maxWaitingBytes: 64 });
  batcher.open(maxRows);
  const answers: Record<string, unknown> = {};
  const submit = (name: string, values: readonly number[], { timeout = 1000, width = 1, caller = "a" } = {}) => {
    const ticket = batcher.submit({ inputs: rows(values, width), timeout, caller });
    void ticket.outputs.then(
      ([output]) => (answers[name] = [...(output?.data ?? [])]),
      (error: unknown) => (answers[name] = error instanceof RequestError ? error.code : error),
    );
    return ticket;
  };
  return { clock, engine, batcher, answers, submit };
}

/** Refuses nines. */
const echo = async ([x]: readonly Tensor[]): Promise<readonly Tensor[]> => {
  if (x === undefined || (x.data as Float32Array).includes(9))
    throw new RequestError("InvalidRequest", "9 is no index");
  return Promise.resolve([x]);
};

it("computes requests on their own when one of them is what made their batch fail", async () => {
  const clock = new FakeClock();
  const batcher = new Batcher({ compute: echo, clock, maxWaiting: 8, maxWaitingBytes: 64 });
  batcher.open(4);
  const answers = [[1], [2], [9], [3]].map(
    (values) => batcher.submit({ inputs: rows(values), timeout: 1000, caller: "a" }).outputs,
  );
  const settled = await Promise.allSettled(answers);
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
});

describe("batcher", () => {
  it("computes a request at once when the engine is idle", async () => {
    const { engine, submit, answers, batcher, clock } = setUp();
    submit("a", [1]);
    expect(engine.batches).toEqual([[1]]);
    await engine.finish();
    expect(answers).toEqual({ a: [2] });
    expect([batcher.waiting, batcher.computing, clock.pending]).toEqual([0, 0, 0]);
  });

  it("makes the next batch of what came while the engine was busy, up to the limit of rows", async () => {
    const { engine, submit, answers } = setUp(4);
    for (const [index, name] of ["a", "b", "c", "d", "e", "f"].entries()) submit(name, [index * 10]);
    await engine.finish();
    await engine.finish();
    await engine.finish();
    expect(engine.batches).toEqual([[0], [10, 20, 30, 40], [50]]);
    expect(answers).toEqual({ a: [1], b: [11], c: [21], d: [31], e: [41], f: [51] });
  });

  it("computes a request with more rows than a batch alone, and lets none overtake it", async () => {
    const { engine, submit, answers } = setUp(2);
    submit("a", [1]);
    submit("big", [1, 2, 3, 4, 5]);
    submit("b", [7]);
    for (let round = 0; round < 3; round++) await engine.finish();
    expect(engine.batches).toEqual([[1], [1, 2, 3, 4, 5], [7]]);
    expect(answers["big"]).toEqual([2, 3, 4, 5, 6]);
  });

  it("keeps requests of other shapes apart and the oldest first", async () => {
    const { engine, submit } = setUp();
    submit("a", [0]);
    submit("wide", [1, 2], { width: 2 });
    submit("b", [3]);
    submit("wide2", [4, 5], { width: 2 });
    for (let round = 0; round < 3; round++) await engine.finish();
    expect(engine.batches).toEqual([[0], [1, 2, 4, 5], [3]]);
  });

  it("refuses what is beyond the bound", async () => {
    const { submit, batcher, engine, answers } = setUp(1, 2);
    submit("computing", [0]);
    submit("a", [1]);
    submit("b", [2]);
    expect(() => batcher.submit({ inputs: rows([3]), timeout: 1000, caller: "a" })).toThrow(
      expect.objectContaining({ code: "QueueFull", status: 429 }),
    );
    for (let round = 0; round < 3; round++) await engine.finish();
    expect(answers).toEqual({ computing: [1], a: [2], b: [3] });
  });

  it("refuses what would make more bytes wait than it may hold, but not a single large request", async () => {
    const { submit, engine, answers } = setUp(4, 8);
    submit("computing", [0]);
    const large = Array.from({ length: 20 }, (_, index) => index);
    submit("large", large);
    expect(() => submit("small", [1])).toThrow("80 bytes of inputs are waiting already");
    await engine.finish();
    submit("small", [1]);
    await engine.finish();
    await engine.finish();
    expect(answers).toEqual({ computing: [1], large: large.map((value) => value + 1), small: [2] });
  });

  it("drops a request at its deadline before it is computed, and lets one finish that is being computed", async () => {
    const { clock, submit, engine, answers } = setUp();
    submit("a", [0], { timeout: 5 });
    submit("late", [1], { timeout: 5 });
    submit("patient", [2], { timeout: 50 });
    clock.advance(10);
    await settle();
    expect(answers).toEqual({ late: "DeadlineExceeded" });
    await engine.finish();
    await engine.finish();
    expect(engine.batches).toEqual([[0], [2]]);
    expect(answers).toEqual({ a: [1], late: "DeadlineExceeded", patient: [3] });
  });

  it("drops a request whose client has gone", async () => {
    const { submit, engine, answers, batcher } = setUp();
    const first = submit("a", [0]);
    const second = submit("b", [1]);
    second.cancel();
    first.cancel();
    expect(batcher.waiting).toBe(0);
    await engine.finish();
    expect(answers).toEqual({ a: [1], b: "Cancelled" });
    expect(engine.batches).toEqual([[0]]);
  });

  it("answers all requests of a failed batch and goes on", async () => {
    const { submit, engine, answers } = setUp();
    submit("a", [0]);
    submit("bad", [-1]);
    submit("beside", [2]);
    await engine.finish();
    submit("next", [3]);
    await engine.finish();
    await engine.finish();
    expect(answers).toEqual({ a: [1], bad: "Internal", beside: "Internal", next: [4] });
  });

  it("rejects what waits when it is closed, finishes what is computed, and takes requests again when opened", async () => {
    const { submit, batcher, engine, answers } = setUp();
    submit("a", [0]);
    submit("b", [1]);
    batcher.close(new RequestError("NotReady", "closed"));
    await settle();
    expect(answers).toEqual({ b: "NotReady" });
    expect(() => batcher.submit({ inputs: rows([2]), timeout: 1000, caller: "a" })).toThrow("closed");
    await engine.finish();
    batcher.open(4);
    submit("c", [3]);
    await engine.finish();
    expect(answers).toEqual({ a: [1], b: "NotReady", c: [4] });
  });

  it("lets a caller with little in the queue go first when it is full, at the cost of who has filled it", async () => {
    const { engine, submit, answers } = setUp(1, 3);
    submit("computing", [0], { caller: "greedy" });
    for (const [index, name] of ["g1", "g2", "g3"].entries()) submit(name, [10 + index], { caller: "greedy" });
    submit("m", [1], { caller: "modest" });
    expect(() => submit("g4", [13], { caller: "greedy" })).toThrow("3 requests are waiting already");
    for (let n = 0; n < 4; n++) await engine.finish();
    expect(answers).toEqual({ computing: [1], g1: [11], g2: [12], g3: "QueueFull", m: [2] });
    expect(engine.batches.flat().indexOf(1)).toBeLessThan(engine.batches.flat().indexOf(11));
  });

  it("is closed until it is opened", () => {
    const batcher = new Batcher({
      compute: new ManualEngine().compute,
      clock: new FakeClock(),
      maxWaiting: 1,
      maxWaitingBytes: 1,
    });
    expect(() => batcher.submit({ inputs: rows([1]), timeout: 1, caller: "a" })).toThrow(
      expect.objectContaining({ status: 503 }),
    );
  });

  it("answers every accepted request once with its own rows, in order, within its bounds, whatever happens", async () => {
    const request = fc.record({
      do: fc.constant("submit" as const),
      rows: fc.integer({ min: 1, max: 5 }),
      timeout: fc.integer({ min: 1, max: 40 }),
    });
    const step = fc.oneof(
      { weight: 5, arbitrary: request },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("finish" as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(20) }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant("wait" as const), milliseconds: fc.integer({ min: 1, max: 30 }) }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, engine, batcher, answers, submit } = setUp(4, 5);
        const sent = new Map<string, number[]>();
        const tickets: { cancel(): void }[] = [];
        let next = 0;
        for (const action of steps) {
          if (action.do === "submit") {
            const values = Array.from({ length: action.rows }, () => next++);
            const name = `r${tickets.length}`;
            try {
              tickets.push(submit(name, values, { timeout: action.timeout }));
              sent.set(name, values);
            } catch (error) {
              expect(error).toMatchObject({ code: "QueueFull" });
              expect(batcher.waiting === 5 || String(error).includes("bytes")).toBe(true);
            }
          } else if (action.do === "finish") await engine.finish();
          else if (action.do === "cancel") tickets[action.which]?.cancel();
          else clock.advance(action.milliseconds);
          expect(batcher.waiting).toBeLessThanOrEqual(5);
        }
        while (batcher.computing > 0) await engine.finish();
        await batcher.idle();
        await settle();
        expect(Object.keys(answers).sort()).toEqual([...sent.keys()].sort());
        for (const [name, values] of sent) {
          const expected = values.map((value) => value + 1);
          expect([expected, "DeadlineExceeded", "Cancelled"]).toContainEqual(answers[name]);
        }
        const computed = engine.batches.flat();
        expect(computed).toEqual([...computed].sort((a, b) => a - b));
        expect(engine.most).toBeLessThanOrEqual(1);
        const answered = Object.values(answers).filter(Array.isArray).flat().length;
        expect(computed.length).toBe(answered);
        expect(clock.pending).toBe(0);
      }),
      { numRuns: 150 },
    );
  });
});

function delayed(maxRows = 3) {
  const clock = new FakeClock();
  const engine = new ManualEngine();
  const options = { compute: engine.compute, clock, maxWaiting: 8, maxWaitingBytes: 64, maxDelay: 10 };
  const batcher = new Batcher(options);
  batcher.open(maxRows);
  const submit = (value: number, timeout = 1000) =>
    batcher.submit({ inputs: rows([value]), timeout, caller: "a" }).outputs.catch((error: RequestError) => error.code);
  return { clock, engine, batcher, submit };
}

describe("batcher with a delay", () => {
  it("waits so long for more rows, counted from the oldest request, and no longer once the batch is full", () => {
    const { clock, engine, submit } = delayed();
    void submit(1);
    clock.advance(9);
    void submit(2);
    expect(engine.batches).toEqual([]);
    clock.advance(1);
    expect(engine.batches).toEqual([[1, 2]]);
    const full = delayed();
    for (const value of [1, 2, 3]) void full.submit(value);
    expect(full.engine.batches).toEqual([[1, 2, 3]]);
  });

  it("counts the time in which the engine computed as waiting", async () => {
    const { clock, engine, submit } = delayed();
    void submit(1);
    clock.advance(10);
    void submit(2);
    clock.advance(10);
    await engine.finish();
    expect(engine.batches).toEqual([[1], [2]]);
  });

  it("is idle once what it waited with has passed its deadline", async () => {
    const { clock, engine, batcher, submit } = delayed();
    const answer = submit(1, 5);
    const idle = batcher.idle();
    clock.advance(5);
    expect(await answer).toBe("DeadlineExceeded");
    clock.advance(5);
    await idle;
    expect(engine.batches).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});

it("shows the engine batches of allowed sizes only, padded with a real row, and every caller its own rows", async () => {
  const sizes = [2, 4, 8];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 12 }), async (counts) => {
      const seen: number[][] = [];
      const compute = async ([x]: readonly Tensor[]): Promise<readonly Tensor[]> => {
        if (x === undefined) throw new Error("no input");
        seen.push([...(x.data as Float32Array)]);
        await settle();
        return [x];
      };
      const options = { clock: new FakeClock(), maxWaiting: 99, maxWaitingBytes: 9999, allowedSizes: sizes };
      const batcher = new Batcher({ compute, ...options });
      batcher.open(8);
      const requests = counts.map((count, index) => Array.from({ length: count }, (_, row) => index * 10 + row + 1));
      const answers = await Promise.all(
        requests.map((values) => batcher.submit({ inputs: rows(values), timeout: 1000, caller: "a" }).outputs),
      );
      expect(answers.map(([output]) => [...(output?.data ?? [])])).toEqual(requests);
      expect(seen.every((batch) => sizes.includes(batch.length))).toBe(true);
      expect(seen.flat().every((value) => requests.flat().includes(value))).toBe(true);
    }),
  );
});
