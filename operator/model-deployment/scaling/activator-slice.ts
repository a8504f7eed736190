/** The EndpointSlice by which a deployment's requests reach the activators while it has no pods. */
import { isIPv6 } from "node:net";
import type { IEndpointSlice } from "kubernetes-models/discovery.k8s.io/v1/EndpointSlice";
import { GROUP } from "../../../crds/common.ts";
import { LABELS } from "../../../crds/contract/names.ts";
import { covers } from "../../covers.ts";
import { Resources } from "../../kernel/resource.ts";
import { identityOf, type Write } from "../../writes.ts";
import type { Situation } from "../situation.ts";
import type { SliceRecord } from "../records.ts";
import { childMetadata, type DeploymentOwner } from "../revision.ts";
import { scalingSettings } from "./settings.ts";

const SERVICE_NAME = "kubernetes.io/service-name";
/** Says to Kubernetes' own controller that this slice is none of its business. */
const SLICE_MANAGER = "endpointslice.kubernetes.io/managed-by";

/** What is known of the activators, for one deployment. */
export interface ActivatorView {
  /** Empty where none is installed. */
  readonly addresses: readonly string[];
  /** Undefined where it needs none, or none is left. */
  readonly port?: number | undefined;
  /** All of them listen on the port. */
  readonly listens: boolean;
}

export const NO_ACTIVATOR: ActivatorView = { addresses: [], listens: false };

/** May this deployment be without pods while users call it? */
export function mayHaveNoPods({ spec }: DeploymentOwner): boolean {
  const settings = scalingSettings(spec.scaling);
  return settings.by === "Operator" && settings.min === 0 && !spec.suspend;
}

export function activatorSlice(slices: readonly SliceRecord[], { metadata }: DeploymentOwner): SliceRecord | undefined {
  return slices.find((slice) => slice.metadata.name === sliceName(metadata.name));
}

const sliceName = (name: string) => `${name}-activator`;

/** Requests that come now are held, not lost: the last pod may go. */
export function isCovered(slices: readonly SliceRecord[], owner: DeploymentOwner, view: ActivatorView): boolean {
  const held = activatorSlice(slices, owner);
  return view.listens && (held?.addresses.length ?? 0) > 0 && held?.port === view.port;
}

/**
 * It names the activators while no pod is ready, and before the last one goes. Else it is empty, and only keeps the
 * port: what proxies still send there belongs to this deployment for as long as it lives.
 */
export function planActivatorSlice({ observed, views, front, stable, replicas }: Situation): Write[] {
  const { owner, slices, activator, scaling } = observed;
  const live = activatorSlice(slices, owner);
  if (!mayHaveNoPods(owner) || activator.port === undefined) {
    if (live === undefined || live.metadata.deletionTimestamp !== undefined) return [];
    return [{ verb: "delete", resource: Resources.EndpointSlice, metadata: identityOf(live) }];
  }
  if (front === undefined) return [];
  const ready = views.get(stable ?? "")?.deployment?.ready ?? 0;
  const isNeeded = ready === 0 || replicas === 0 || scaling.wish === 0;
  const addresses = isNeeded ? activator.addresses.toSorted() : [];
  const names = front.ports.map(({ name = "" }) => name);
  const [first] = activator.addresses;
  if (live === undefined && first === undefined) return [];
  // The type of a slice's addresses cannot change.
  const type = live === undefined ? (isIPv6(first ?? "") ? "IPv6" : "IPv4") : live.addressType;
  const object = sliceObject(owner, { names, port: activator.port, addresses, type });
  if (live === undefined) return [{ verb: "create", resource: Resources.EndpointSlice, object }];
  const same =
    live.addresses.join() === addresses.join() &&
    live.port === activator.port &&
    live.portNames.join() === names.join() &&
    covers(live.metadata.labels, object.metadata.labels);
  if (same) return [];
  const { uid } = live.metadata;
  return [
    { verb: "apply", resource: Resources.EndpointSlice, object: { ...object, metadata: { ...object.metadata, uid } } },
  ];
}

interface SliceContent {
  /** Of the Service's ports: all of them lead to the one of the activators. */
  readonly names: readonly string[];
  readonly port: number;
  readonly addresses: readonly string[];
  readonly type: SliceRecord["addressType"];
}

function sliceObject(owner: DeploymentOwner, { names, port, addresses, type }: SliceContent) {
  const { name } = owner.metadata;
  const labels = {
    [SERVICE_NAME]: name,
    [SLICE_MANAGER]: GROUP,
    [LABELS.modelDeployment]: name,
    [LABELS.activator]: "true",
  };
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: childMetadata(owner, sliceName(name), labels),
    addressType: type,
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: names.map((portName) => ({ name: portName, port, protocol: "TCP" as const })),
  } satisfies IEndpointSlice;
}
