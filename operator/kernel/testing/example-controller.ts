import type { Client } from "../client.ts";
import type { Clock } from "../clock.ts";
import { type Condition, setHealth } from "../conditions.ts";
import { ConsistencyTracker } from "../consistency.ts";
import { Controller } from "../controller.ts";
import type { EventRecorder } from "../events.ts";
import { enqueueOwner, enqueueSelf } from "../handlers.ts";
import { Informer } from "../informer.ts";
import type { Logger } from "../logger.ts";
import { controllerReference, type KubernetesObject } from "../meta.ts";
import type { Metrics } from "../metrics.ts";
import { WorkQueue } from "../queue.ts";
import { customResource, Resources } from "../resource.ts";

export interface Greeting extends KubernetesObject {
  spec?: { name: string };
  status?: { observedGeneration?: number; conditions?: Condition[] };
}

export const Greeting = customResource<Greeting>({
  group: "kernel.test",
  version: "v1",
  plural: "greetings",
  kind: "Greeting",
  namespaced: true,
});

interface Means {
  readonly client: Client;
  readonly events: EventRecorder;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly namespace: string;
}

/** A whole controller: each Greeting owns a ConfigMap that says hello, also after somebody changed or deleted it. */
export function greetingController({ client, events, metrics, logger, clock, namespace }: Means) {
  const shared = { client, logger, observer: metrics.informers, namespaces: [namespace] };
  const greetings = new Informer({ ...shared, resource: Greeting });
  const configMaps = new Informer({ ...shared, resource: Resources.ConfigMap, labelSelector: "kernel.test/greeting" });
  const queue = new WorkQueue({ name: "greeting", clock, observer: metrics.queue("greeting") });
  greetings.onChange(enqueueSelf(queue));
  configMaps.onChange(enqueueOwner(queue, Greeting));
  const consistency = new ConsistencyTracker({ clock });

  const reconcile = async (key: string) => {
    const greeting = greetings.store.getByKey(key);
    if (!greeting || greeting.metadata.deletionTimestamp) return;
    const { name, generation = 0 } = greeting.metadata;
    const text = `Hello, ${greeting.spec?.name ?? "world"}!`;
    const child = configMaps.store.byOwner(greeting.metadata.uid)[0];
    if (child?.data?.["text"] !== text) {
      const ownerReferences = [controllerReference(Greeting, greeting)];
      const metadata = { namespace, name, labels: { "kernel.test/greeting": name }, ownerReferences };
      consistency.wrote(key, configMaps, await client.apply(Resources.ConfigMap, { metadata, data: { text } }));
      events.record({
        resource: Greeting,
        object: greeting,
        type: "Normal",
        reason: "Greeted",
        action: "Apply",
        note: text,
      });
    }
    if (greeting.status?.observedGeneration === generation) return;
    const health = { state: "Ready", reason: "Greeted", message: text } as const;
    const conditions = setHealth(greeting.status?.conditions ?? [], health, generation, clock.now());
    const status = { observedGeneration: generation, conditions };
    consistency.wrote(key, greetings, await client.applyStatus(Greeting, { metadata: { namespace, name }, status }));
  };
  const metricsOfController = metrics.controller("greeting");
  const controller = new Controller({
    name: "greeting",
    queue,
    reconcile,
    clock,
    logger,
    consistency,
    metrics: metricsOfController,
  });
  return { informers: [greetings, configMaps], controllers: [controller] };
}
