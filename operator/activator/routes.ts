/** Which deployment each port stands for, and where its pods are: read from EndpointSlices. */
import type { IEndpointSlice } from "kubernetes-models/discovery.k8s.io/v1/EndpointSlice";
import { LABELS } from "../../crds/contract/names.ts";
import { type Identified, keyOf, type Stored } from "../kernel/meta.ts";
import { metadataOf } from "../runs/job-record.ts";

const SERVICE_NAME = "kubernetes.io/service-name";

export interface RouteSlice extends Identified {
  /** `namespace/name` of the Service. */
  readonly service: string;
  readonly createdAt: string;
  /** Set in the operator's own slice: the port of the activator. */
  readonly activatorPort?: number | undefined;
  /** Ready pods, and their ports by name. */
  readonly addresses: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
}

export function routeSlice(slice: Stored<IEndpointSlice>): RouteSlice {
  const { labels = {}, namespace = "", creationTimestamp = "" } = slice.metadata;
  const ports = (slice.ports ?? []).flatMap(({ name, port }) =>
    port === undefined ? [] : [[name ?? "", port] as const],
  );
  const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
  return {
    metadata: metadataOf(slice),
    service: keyOf(namespace, labels[SERVICE_NAME] ?? ""),
    createdAt: creationTimestamp,
    activatorPort: labels[LABELS.activator] === undefined ? undefined : ports[0]?.[1],
    addresses: ready.flatMap(({ addresses }) => addresses.slice(0, 1)),
    ports: Object.fromEntries(ports),
  };
}

export interface Route {
  readonly service: string;
  readonly addresses: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
}

/** By port. Should two deployments claim one port, the older has it. */
export function routesOf(slices: readonly RouteSlice[]): Map<number, Route> {
  const pods = new Map<string, { addresses: string[]; ports: Record<string, number> }>();
  for (const { service, activatorPort, addresses, ports } of slices) {
    if (activatorPort !== undefined) continue;
    const known = pods.get(service) ?? { addresses: [], ports: {} };
    pods.set(service, { addresses: [...known.addresses, ...addresses], ports: { ...known.ports, ...ports } });
  }
  const routes = new Map<number, Route>();
  for (const { service, activatorPort } of slices.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1))) {
    if (activatorPort === undefined || routes.has(activatorPort)) continue;
    routes.set(activatorPort, { service, ...(pods.get(service) ?? { addresses: [], ports: {} }) });
  }
  return routes;
}
