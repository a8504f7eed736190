import { describe, expect, it } from "@jest/globals";
import { array, assert, asyncProperty, constantFrom, integer, oneof, record } from "fast-check";
import { FakeClock } from "../kernel/testing/fake-clock.ts";
import { type HeldRequest, Holds } from "./holds.ts";

const LIMITS = { mostPerPort: 4, most: 6, mostPerPod: 2, timeout: 1000 };

interface Request extends HeldRequest {
  /** `waiting`, the address of its pod, or why it was refused. */
  state: string;
  end(outcome?: "Done" | "Unreached"): void;
}

function request(timeout?: number): Request {
  let finish: ((outcome: "Done" | "Unreached") => void) | undefined;
  const made: Request = {
    timeout,
    state: "waiting",
    forward: (address) => {
      made.state = address;
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    refuse: (refusal) => {
      made.state = refusal;
    },
    end: (outcome = "Done") => finish?.(outcome),
  };
  return made;
}

function bed(limits: Partial<typeof LIMITS> = {}) {
  const clock = new FakeClock();
  const changes: number[] = [];
  const observer = {
    changed: (port: number) => changes.push(port),
    forwarded: () => undefined,
    refused: () => undefined,
  };
  const holds = new Holds({ clock, ...LIMITS, ...limits, observer });
  const admit = (port: number, count: number, timeout?: number) =>
    Array.from({ length: count }, () => {
      const one = request(timeout);
      holds.admit(port, one);
      return one;
    });
  return { clock, holds, admit, changes };
}

const states = (requests: readonly Request[]) => requests.map(({ state }) => state);

describe("requests without a pod", () => {
  it("wait, and go to the first pod that comes, oldest first and few at a time", async () => {
    const { clock, holds, admit } = bed();
    const requests = admit(1, 3);
    expect(holds.waiting(1)).toBe(3);
    holds.serve(1, ["a"]);
    expect(states(requests)).toEqual(["a", "a", "waiting"]);
    requests[0]?.end();
    await clock.advance(0);
    expect(states(requests)).toEqual(["a", "a", "a"]);
  });

  it("are spread over the pods", () => {
    const { holds, admit } = bed();
    const requests = admit(1, 4);
    holds.serve(1, ["a", "b"]);
    expect(states(requests).toSorted()).toEqual(["a", "a", "b", "b"]);
  });

  it("are refused after their time, or the shorter one that they ask for", async () => {
    const { clock, admit } = bed();
    const [hasty] = admit(1, 1, 100);
    const [patient] = admit(1, 1, 5000);
    await clock.advance(100);
    expect([hasty?.state, patient?.state]).toEqual(["TimedOut", "waiting"]);
    await clock.advance(900);
    expect(patient?.state).toBe("TimedOut");
  });

  it("are refused at once when too many of the deployment wait", () => {
    const { admit } = bed();
    expect(states(admit(1, 5))).toEqual(["waiting", "waiting", "waiting", "waiting", "Full"]);
  });

  it("give way to a deployment that has fewer, when all together are too many", () => {
    const { admit } = bed();
    const many = admit(1, 4);
    const few = admit(2, 4);
    expect(states(many)).toEqual(["waiting", "waiting", "waiting", "Full"]);
    expect(states(few)).toEqual(["waiting", "waiting", "waiting", "Full"]);
  });

  it("try another pod when one cannot be reached, within their time", async () => {
    const { clock, holds, admit } = bed();
    const [one] = admit(1, 1);
    holds.serve(1, ["a"]);
    one?.end("Unreached");
    await clock.advance(0);
    holds.serve(1, ["a", "b"]);
    expect(one?.state).toBe("b");
    one?.end("Unreached");
    await clock.advance(2000);
    one?.end("Unreached");
    await clock.advance(2000);
    expect(one?.state).toBe("TimedOut");
  });

  it("are not waited for any more when their client has gone", () => {
    const { holds } = bed();
    const one = request();
    const withdraw = holds.admit(1, one);
    withdraw();
    holds.serve(1, ["a"]);
    expect([one.state, holds.held, holds.open]).toEqual(["waiting", 0, 0]);
  });

  it("are all refused when it stops", () => {
    const { holds, admit } = bed();
    const before = admit(1, 2);
    holds.stop();
    expect(states([...before, ...admit(1, 1)])).toEqual(["Stopping", "Stopping", "Stopping"]);
  });
});

const port = integer({ min: 1, max: 3 });
const step = oneof(
  record({ do: constantFrom("admit" as const), port }),
  record({ do: constantFrom("serve" as const), port, pods: integer({ min: 0, max: 2 }) }),
  record({ do: constantFrom("end" as const), which: integer({ min: 0, max: 30 }) }),
  record({ do: constantFrom("unreached" as const), which: integer({ min: 0, max: 30 }) }),
  record({ do: constantFrom("wait" as const), milliseconds: integer({ min: 0, max: 1500 }) }),
);

describe("in any order of events", () => {
  it("no bound is passed, and each request comes to exactly one end in its time", async () => {
    await assert(
      asyncProperty(array(step, { maxLength: 60 }), async (steps) => {
        const { clock, holds } = bed();
        const requests: Request[] = [];
        for (const one of steps) {
          if (one.do === "admit") {
            const made = request();
            requests.push(made);
            holds.admit(one.port, made);
          }
          if (one.do === "serve") holds.serve(one.port, ["a", "b"].slice(0, one.pods));
          if (one.do === "end") requests[one.which]?.end();
          if (one.do === "unreached") requests[one.which]?.end("Unreached");
          if (one.do === "wait") await clock.advance(one.milliseconds);
          await clock.advance(0);
          expect(holds.held).toBeLessThanOrEqual(LIMITS.most);
          for (const each of [1, 2, 3]) expect(holds.waiting(each)).toBeLessThanOrEqual(LIMITS.mostPerPort);
          expect(requests.filter(({ state }) => state === "waiting").length).toBeLessThanOrEqual(holds.held);
        }
        await clock.advance(5000);
        expect(holds.held).toBe(0);
        expect(states(requests)).not.toContain("waiting");
      }),
    );
  });
});
