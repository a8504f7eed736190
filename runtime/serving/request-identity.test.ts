import * as fc from "fast-check";
import { identityOf } from "./request-identity.ts";

const of = (headers: Record<string, string>) => identityOf((name) => headers[name]);

describe("identity of a request", () => {
  it("is the client's own id, or a new one where that is missing or unfit for logs", () => {
    expect(of({ "x-request-id": "order-17" }).requestId).toBe("order-17");
    for (const unfit of ["", "a b", 'a"b', "a\nb", "x".repeat(129)]) {
      expect(of({ "x-request-id": unfit }).requestId).toMatch(/^[0-9a-f-]{36}$/);
    }
    expect(of({}).requestId).not.toBe(of({}).requestId);
  });

  it("tells the trace that the client has begun", () => {
    const [trace, span] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
    expect(of({ traceparent: `00-${trace}-${span}-01` })).toMatchObject({ traceId: trace, parentSpanId: span });
    expect(of({ traceparent: `01-${trace}-${span}-01-more` })).toMatchObject({ traceId: trace });
    for (const wrong of [
      `ff-${trace}-${span}-01`,
      `00-${"0".repeat(32)}-${span}-01`,
      `00-${trace}-${"0".repeat(16)}-01`,
      `00-${trace.toUpperCase()}-${span}-01`,
      `00-${trace}-${span}`,
    ]) {
      expect(of({ traceparent: wrong }).traceId).toBeUndefined();
    }
  });

  it("never holds what would break a line of a log", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (id, parent) => {
        const { requestId, traceId = "" } = of({ "x-request-id": id, traceparent: parent });
        expect(requestId + traceId).toMatch(/^[\w.:/+=-]+$/);
      }),
    );
  });
});
