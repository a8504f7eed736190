import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { rules } from "../../operator/rbac.ts";
import { installGatewayKinds } from "../cluster/addons.ts";
import type { ApiServer } from "../cluster/apiserver.ts";
import { until } from "../cluster/wait.ts";
import { FakeProber, type RunningOperator, startBed, startOperator } from "./operator/bed.ts";
import { condition, modelDeployment, Space } from "./operator/objects.ts";

/** Part of an HTTPRoute. */
interface HttpRoute {
  metadata: { name: string; uid: string; generation: number; ownerReferences?: { name: string }[] };
  spec: { parentRefs: object[]; hostnames?: string[]; rules: { backendRefs: { name: string; port: number }[] }[] };
}

let server: ApiServer;
let space: Space;
let operator: RunningOperator;

/** With the operator's own rights, and no Gateway API at first. */
beforeAll(async () => {
  server = await startBed();
  space = new Space(server.api, await server.namespace());
  const kubeconfig = await server.serviceAccountKubeconfig(space.namespace, "operator");
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  await server.api.post(`${rbac}/clusterroles`, { metadata: { name: "operator" }, rules });
  await server.api.post(`${rbac}/clusterrolebindings`, {
    metadata: { name: "operator" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "operator" },
    subjects: [{ kind: "ServiceAccount", name: "operator", namespace: space.namespace }],
  });
  operator = await startOperator({ kubeconfig, namespaces: [], prober: new FakeProber() });
}, 90_000);
afterAll(async () => {
  await operator.stop();
  await server.stop();
}, 30_000);

const routePath = (name = "") =>
  `/apis/gateway.networking.k8s.io/v1/namespaces/${space.namespace}/httproutes${name && `/${name}`}`;

const routeReady = (name: string, reason: string, message = /./) =>
  space.status(
    "modeldeployments",
    name,
    `RouteReady says ${reason}`,
    (status) => {
      const found = condition(status, "RouteReady");
      return found?.reason === reason && message.test(found.message);
    },
    40_000,
  );

/** What a gateway's controller says of the route as it is now. */
async function answer(name: string, said: { accepted: boolean; resolved: boolean; reason: string }): Promise<void> {
  const { metadata, spec } = await server.api.get<HttpRoute>(routePath(name));
  const given = (type: string, holds: boolean) => ({
    type,
    status: holds ? "True" : "False",
    reason: holds ? type : said.reason,
    message: holds ? "" : "the gateway says no",
    observedGeneration: metadata.generation,
    lastTransitionTime: new Date().toISOString(),
  });
  const parents = spec.parentRefs.map((parentRef) => ({
    parentRef,
    controllerName: "example.com/gateway",
    conditions: [given("Accepted", said.accepted), given("ResolvedRefs", said.resolved)],
  }));
  await server.api.patch(`${routePath(name)}/status`, { status: { parents } });
}

const gateway = { name: "public", sectionName: "https", port: 443 };

describe("spec.route", () => {
  it("says what is missing where the cluster has no Gateway API, and takes the route when it comes", async () => {
    await space.create(modelDeployment("digits", { route: { parentRefs: [gateway], hostnames: ["a.example.com"] } }));
    const status = await routeReady("digits", "GatewayApiMissing", /install the Gateway API/);
    expect(status.hostnames).toBeUndefined();
    await space.waitChild("deployments", status.stableRevision ?? "", () => true);
    await space.waitEvent("digits", "Failed");
    await installGatewayKinds(server, () => undefined);
    await routeReady("digits", "RoutePending", /Gateway public/);
  }, 120_000);

  it("leads gateways to the Service that users call, and is ready when each of them has taken it", async () => {
    const route = await server.api.get<HttpRoute>(routePath("digits"));
    expect(route.metadata.ownerReferences?.[0]?.name).toBe("digits");
    expect(route.spec).toMatchObject({ parentRefs: [gateway], hostnames: ["a.example.com"] });
    expect(route.spec.rules).toMatchObject([{ backendRefs: [{ name: "digits", port: 80 }] }]);
    await answer("digits", { accepted: true, resolved: true, reason: "" });
    const status = await routeReady("digits", "RouteAccepted");
    expect(status.hostnames).toEqual(["a.example.com"]);
    expect(condition(status, "RouteReady")?.status).toBe("True");
    await answer("digits", { accepted: false, resolved: true, reason: "NotAllowedByListeners" });
    const refused = await routeReady("digits", "RouteRefused", /NotAllowedByListeners.*the gateway says no/);
    expect(refused.hostnames).toBeUndefined();
    await answer("digits", { accepted: true, resolved: false, reason: "BackendNotFound" });
    await routeReady("digits", "RouteRefused", /BackendNotFound/);
  }, 120_000);

  it("follows what spec.route says, and never a revision", async () => {
    const before = await space.get("modeldeployments", "digits");
    const parentRefs = [
      { name: "inner", namespace: "gateways" },
      { name: "public", sectionName: "a" },
      { name: "public", sectionName: "b" },
    ];
    await space.patch("modeldeployments", "digits", { route: { parentRefs, hostnames: null } });
    const { spec } = await until("the route has changed", async () => {
      const route = await server.api.get<HttpRoute>(routePath("digits"));
      const { hostnames } = route.spec;
      return route.spec.parentRefs.length === 3 && hostnames === undefined ? route : undefined;
    });
    expect(spec.parentRefs).toMatchObject(parentRefs);
    // What was said of the route as it was before counts no more.
    const status = await routeReady("digits", "RoutePending", /Gateway gateways\/inner/);
    expect(status.stableRevision).toBe(before.status.stableRevision);
    expect(status.revisions).toHaveLength(1);
  }, 120_000);

  it("says what the Gateway API refuses", async () => {
    await space.patch("modeldeployments", "digits", { route: { parentRefs: [{ name: "same" }, { name: "same" }] } });
    await routeReady("digits", "InvalidSpec", /sectionName/);
  }, 60_000);

  it("touches no route of others", async () => {
    await server.api.post(routePath(), {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: { name: "taken" },
      spec: { hostnames: ["theirs.example.com"] },
    });
    await space.create(modelDeployment("taken", { route: { parentRefs: [{ name: "public" }] } }));
    await routeReady("taken", "NameConflict", /HTTPRoute taken exists/);
    const { spec } = await server.api.get<HttpRoute>(routePath("taken"));
    expect(spec.hostnames).toEqual(["theirs.example.com"]);
  }, 60_000);

  it("leaves nothing behind when it is removed", async () => {
    await space.patch("modeldeployments", "digits", { route: null });
    await until("the route is gone", async () => (await server.api.find(routePath("digits"))) === undefined);
    await space.status("modeldeployments", "digits", "says nothing of it", (status) => {
      return condition(status, "RouteReady") === undefined;
    });
  }, 60_000);
});
