import { describe, expect, it } from "@jest/globals";
import { type RouteSlice, routesOf } from "./routes.ts";

const slice = (name: string, more: Partial<RouteSlice>): RouteSlice => ({
  metadata: { name, namespace: "lab", uid: name, resourceVersion: "1" },
  service: "lab/digits",
  createdAt: "2026-01-01T00:00:00Z",
  addresses: [],
  ports: {},
  ...more,
});

describe("routes", () => {
  it("lead from the port in the operator's slice to the ready pods in the others of the Service", () => {
    const routes = routesOf([
      slice("a", { activatorPort: 20_001, addresses: ["198.18.0.9"] }),
      slice("b", { addresses: ["198.18.0.1"], ports: { http: 8080 } }),
      slice("c", { addresses: ["198.18.0.2"], ports: { http: 8080, grpc: 9000 } }),
      slice("d", { service: "lab/other", addresses: ["198.18.0.3"], ports: { http: 8080 } }),
    ]);
    expect([...routes]).toEqual([
      [20_001, { service: "lab/digits", addresses: ["198.18.0.1", "198.18.0.2"], ports: { http: 8080, grpc: 9000 } }],
    ]);
  });

  it("give a port that two claim to the older one", () => {
    const routes = routesOf([
      slice("new", { activatorPort: 20_001, service: "evil/digits", createdAt: "2026-01-02T00:00:00Z" }),
      slice("old", { activatorPort: 20_001 }),
    ]);
    expect(routes.get(20_001)?.service).toBe("lab/digits");
  });
});
