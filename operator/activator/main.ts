/** Starts the activator: it holds requests for models without pods. */
import { hostname } from "node:os";
import type { IEndpointSlice } from "kubernetes-models/discovery.k8s.io/v1/EndpointSlice";
import { collectDefaultMetrics, Registry } from "prom-client";
import { LABELS, MANAGED_BY } from "../../crds/contract/names.ts";
import { withAuthorities } from "../authorities.ts";
import { Client } from "../kernel/client.ts";
import { sleep, systemClock } from "../kernel/clock.ts";
import { HealthServer } from "../kernel/health.ts";
import { Informer } from "../kernel/informer.ts";
import { KubeConfigError, loadConnection } from "../kernel/kube-config.ts";
import { createLogger } from "../kernel/logger.ts";
import { stopOnSignals } from "../kernel/manager.ts";
import type { Stored } from "../kernel/meta.ts";
import { Resources } from "../kernel/resource.ts";
import { Activator } from "./activator.ts";
import { ActivatorFlagError, readActivatorFlags } from "./flags.ts";
import { activatorMetrics } from "./metrics.ts";
import { routeSlice, routesOf } from "./routes.ts";

const NAME = "modelwright-activator";
/** Proxies go on sending for a moment after this pod has left their lists. */
const LEAVE_MILLISECONDS = 8000;
/** Ports that nobody claims are closed at this pace. */
const TIDY_MILLISECONDS = 5000;

async function main(): Promise<void> {
  const flags = readActivatorFlags(process.argv.slice(2));
  const clock = systemClock;
  const logger = createLogger({ level: flags.logLevel, fields: { program: NAME } });
  const own = await loadConnection({ kubeconfig: flags.kubeconfig, environment: process.env });
  const connection = flags.caFile === undefined ? own : await withAuthorities(own, flags.caFile);
  const client = new Client(connection, { userAgent: NAME, fieldManager: NAME });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const { holdMilliseconds: timeout, mostPerPort, most, mostPerPod } = flags;
  const instance = `${hostname()}-${crypto.randomUUID().slice(0, 8)}`.slice(-64);
  const metrics = activatorMetrics(registry, () => activator.held);
  const activator = new Activator({ clock, logger, metrics, instance, timeout, mostPerPort, most, mostPerPod });
  const slices = new Informer({
    client,
    clock,
    logger,
    resource: Resources.EndpointSlice,
    namespaces: flags.namespaces,
    labelSelector: `${LABELS.managedBy}=${MANAGED_BY}`,
    project: (slice: Stored<IEndpointSlice>) => routeSlice(slice),
  });
  const signal = stopOnSignals(logger);
  let routed = false;
  const health = new HealthServer({
    port: flags.healthPort,
    registry,
    ready: {
      routes: () => (routed ? undefined : "not synced"),
      signal: () => (signal.aborted ? "stopping" : undefined),
    },
    pages: {
      "/load": (query) => activator.news(query.get("instance") ?? "", Number(query.get("version") ?? "-1")),
    },
  });
  await health.start();
  logger.info("health, metrics and load", { port: health.port, instance });

  const informing = new AbortController();
  const running = slices.run(informing.signal);
  let changes = Promise.withResolvers<void>();
  slices.onChange(() => changes.resolve());
  await slices.whenSynced(signal).catch(() => undefined);
  while (!signal.aborted) {
    await activator.route(routesOf(slices.store.list()));
    routed = true;
    const pause = new AbortController();
    await Promise.race([changes.promise, sleep(clock, TIDY_MILLISECONDS, AbortSignal.any([signal, pause.signal]))]);
    pause.abort();
    changes = Promise.withResolvers<void>();
  }
  // Held requests still get a pod: routes are followed until the last has gone, or its time is over.
  const until = clock.monotonic() + timeout;
  const leaveAt = clock.monotonic() + LEAVE_MILLISECONDS;
  while (clock.monotonic() < leaveAt || (activator.busy > 0 && clock.monotonic() < until)) {
    await activator.route(routesOf(slices.store.list()));
    if (clock.monotonic() >= leaveAt) activator.close();
    await sleep(clock, 50);
  }
  activator.destroy();
  informing.abort();
  await running;
  await Promise.all([client.close(), health.stop()]);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof ActivatorFlagError) && !(error instanceof KubeConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 64;
}
