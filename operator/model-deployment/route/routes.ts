/** Keeps the HTTPRoute of a deployment. It is asked for when it is needed: clusters without the Gateway API have no such kind to watch. */
import type { Children, Refusal } from "../../children.ts";
import type { Client } from "../../kernel/client.ts";
import { findCondition } from "../../kernel/conditions.ts";
import { ApiError } from "../../kernel/errors.ts";
import { keyOfObject } from "../../kernel/meta.ts";
import { knownConditions } from "../../runs/status.ts";
import type { DeploymentOwner } from "../revision.ts";
import { HttpRoute, planHttpRoute, type RouteState, routeState } from "./http-route.ts";

export const ROUTE_CONDITION = "RouteReady";

/** Gateways answer within a moment; that one was changed is seen this much later. */
const PENDING_SECONDS = 2;
const SETTLED_SECONDS = 15;

export interface RouteOutcome {
  readonly state: RouteState;
  readonly requeueAfterSeconds: number;
}

export class Routes {
  readonly #client: Pick<Client, "find">;
  readonly #children: Pick<Children, "write">;

  constructor(client: Pick<Client, "find">, children: Pick<Children, "write">) {
    this.#client = client;
    this.#children = children;
  }

  /** Undefined where no route is asked for, and none is left. Serving inside the cluster never depends on it. */
  async keep(owner: DeploymentOwner, signal: AbortSignal): Promise<RouteOutcome | undefined> {
    const { route } = owner.spec;
    const had = findCondition(knownConditions(owner.status ?? {}), ROUTE_CONDITION) !== undefined;
    if (route === undefined && !had) return undefined;
    try {
      const { namespace, name } = owner.metadata;
      const live = await this.#client.find(HttpRoute, namespace, name, { signal });
      const { refusal } = await this.#children.write(keyOfObject(owner), owner, planHttpRoute(owner, live), signal);
      if (route === undefined) return undefined;
      const state = refusal === undefined ? routeState(owner, route, live) : refused(refusal);
      return outcome(state);
    } catch (error) {
      const known = error instanceof ApiError ? unavailable(error) : undefined;
      if (known === undefined) throw error;
      return route === undefined ? undefined : outcome(known);
    }
  }
}

function outcome(state: RouteState): RouteOutcome {
  return { state, requeueAfterSeconds: state.reason === "RoutePending" ? PENDING_SECONDS : SETTLED_SECONDS };
}

function refused({ failure: { reason, message } }: Refusal): RouteState {
  return { ready: false, reason, message, wrong: true };
}

function unavailable(error: ApiError): RouteState | undefined {
  if (error.isNotFound) {
    const message =
      "spec.route needs the kind HTTPRoute (gateway.networking.k8s.io/v1), which this cluster does not have; install the Gateway API, or remove spec.route";
    return { ready: false, reason: "GatewayApiMissing", message, wrong: true };
  }
  if (!error.isForbidden) return undefined;
  const message = `the operator may not keep HTTPRoutes: ${error.message}; upgrade the chart, which gives it the right`;
  return { ready: false, reason: "AdmissionRefused", message, wrong: true };
}
