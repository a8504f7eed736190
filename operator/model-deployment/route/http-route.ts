/** The HTTPRoute by which gateways lead to a deployment, and what its controllers say of it. Pure. */
import { LABELS } from "../../../crds/contract/names.ts";
import type { Route } from "../../../crds/route.ts";
import { canonicalJson } from "../../../crds/contract/canonical.ts";
import { covers } from "../../covers.ts";
import { controllerOf, type KubernetesObject, type Stored } from "../../kernel/meta.ts";
import { customResource } from "../../kernel/resource.ts";
import type { Reason } from "../../reasons.ts";
import { identityOf, type Write } from "../../writes.ts";
import { SERVICE_PORT } from "../objects.ts";
import { childMetadata, type DeploymentOwner } from "../revision.ts";

type Parent = Route["parentRefs"][number];

interface RouteCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

export interface IHttpRoute extends KubernetesObject {
  readonly spec?: {
    readonly parentRefs?: readonly Parent[];
    readonly hostnames?: readonly string[];
    readonly rules?: readonly unknown[];
  };
  readonly status?: {
    readonly parents?: readonly { readonly parentRef: Parent; readonly conditions?: readonly RouteCondition[] }[];
  };
}

export const HttpRoute = customResource<IHttpRoute>({
  group: "gateway.networking.k8s.io",
  version: "v1",
  plural: "httproutes",
  kind: "HTTPRoute",
  namespaced: true,
});

/** For the condition RouteReady. */
export interface RouteState {
  readonly ready: boolean;
  readonly reason: Reason;
  readonly message: string;
  /** A user has to do something. */
  readonly wrong?: boolean;
}

export function httpRoute(owner: DeploymentOwner, { parentRefs, hostnames }: Route) {
  const { name } = owner.metadata;
  return {
    apiVersion: HttpRoute.apiVersion,
    kind: HttpRoute.kind,
    metadata: childMetadata(owner, name, { [LABELS.modelDeployment]: name }),
    spec: {
      parentRefs,
      ...(hostnames === undefined ? {} : { hostnames }),
      rules: [{ backendRefs: [{ name, port: SERVICE_PORT.port }] }],
    },
  } satisfies IHttpRoute;
}

function isOurs(owner: DeploymentOwner, live: Stored<IHttpRoute>): boolean {
  return controllerOf(live)?.uid === owner.metadata.uid;
}

/** A foreign route of that name is never touched: creating ours says who is in the way. */
export function planHttpRoute(owner: DeploymentOwner, live: Stored<IHttpRoute> | undefined): Write[] {
  const { route } = owner.spec;
  if (route === undefined) {
    if (live === undefined || live.metadata.deletionTimestamp !== undefined || !isOurs(owner, live)) return [];
    return [{ verb: "delete", resource: HttpRoute, metadata: identityOf(live) }];
  }
  const object = httpRoute(owner, route);
  if (live === undefined || !isOurs(owner, live)) return [{ verb: "create", resource: HttpRoute, object }];
  if (isAs(live, object)) return [];
  // Unlike an apply, a patch takes away what the creation has set.
  const { labels } = object.metadata;
  const patch = { metadata: { labels }, spec: { ...object.spec, hostnames: route.hostnames ?? null } };
  return [{ verb: "patch", resource: HttpRoute, metadata: identityOf(live), patch }];
}

function isAs({ spec, metadata }: Stored<IHttpRoute>, wanted: ReturnType<typeof httpRoute>): boolean {
  const { parentRefs, rules } = wanted.spec;
  const text = textIn(wanted.metadata.namespace);
  const { hostnames = [] } = wanted.spec as NonNullable<IHttpRoute["spec"]>;
  return (
    (spec?.parentRefs ?? []).map(text).join() === parentRefs.map(text).join() &&
    (spec?.hostnames ?? []).join() === hostnames.join() &&
    spec?.rules?.length === rules.length &&
    covers(spec.rules, rules) &&
    covers(metadata.labels, wanted.metadata.labels)
  );
}

/** Without what the API server and controllers add, and with the namespace that may be left out. */
function textIn(own: string) {
  return ({ name, namespace = own, sectionName, port }: Parent): string =>
    canonicalJson({ name, namespace, sectionName, port });
}

const QUESTIONS = ["Accepted", "ResolvedRefs"] as const;

/** What the gateways' controllers say of the route as it is now. */
export function routeState(owner: DeploymentOwner, route: Route, live: Stored<IHttpRoute> | undefined): RouteState {
  const text = textIn(owner.metadata.namespace);
  for (const parent of route.parentRefs) {
    const gateway = `Gateway ${parent.namespace === undefined ? "" : `${parent.namespace}/`}${parent.name}`;
    const said = live?.status?.parents?.find(({ parentRef }) => text(parentRef) === text(parent));
    for (const question of QUESTIONS) {
      const answer = said?.conditions?.find(({ type }) => type === question);
      const isOld = (answer?.observedGeneration ?? 0) < (live?.metadata.generation ?? 0);
      if (answer === undefined || isOld) {
        const message = `no controller has answered for ${gateway} yet; is there such a Gateway, and does its GatewayClass have a controller?`;
        return { ready: false, reason: "RoutePending", message };
      }
      if (answer.status !== "True") {
        const message = `${gateway} does not take the route (${question}: ${answer.reason}): ${answer.message}`;
        return { ready: false, reason: "RouteRefused", message, wrong: true };
      }
    }
  }
  const where = route.hostnames?.join(", ") ?? "all host names of the listeners";
  return { ready: true, reason: "RouteAccepted", message: `gateways lead to the model: ${where}` };
}
