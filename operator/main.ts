/** Starts the operator. */
import { hostname } from "node:os";
import { withAuthorities } from "./authorities.ts";
import { FlagError, readFlags } from "./flags.ts";
import { Client } from "./kernel/client.ts";
import { systemClock } from "./kernel/clock.ts";
import { HealthServer } from "./kernel/health.ts";
import { KubeConfigError, loadConnection } from "./kernel/kube-config.ts";
import { LeaderElection } from "./kernel/lease.ts";
import { createLogger, type Logger } from "./kernel/logger.ts";
import { runManager, stopOnSignals } from "./kernel/manager.ts";
import { Metrics } from "./kernel/metrics.ts";
import { createOperator } from "./operator.ts";
import { askActivators } from "./model-deployment/scaling/activators.ts";
import { HttpLoadProber } from "./pods/load-prober.ts";
import { HttpProber } from "./pods/prober.ts";
import { HttpTrafficProber } from "./pods/traffic-prober.ts";

const NAME = "modelwright-operator";

async function main(): Promise<number> {
  const flags = readFlags(process.argv.slice(2), process.env);
  const logger = createLogger({ level: flags.logLevel, fields: { program: NAME } });
  const own = await loadConnection({
    kubeconfig: flags.kubeconfig,
    context: flags.context,
    environment: process.env,
  });
  const connection = flags.caFile === undefined ? own : await withAuthorities(own, flags.caFile);
  const metrics = new Metrics();
  const identity = { userAgent: NAME, fieldManager: NAME };
  const client = new Client(connection, { ...identity, metrics: metrics.client });
  // A lease must be renewed however busy the other connections are.
  const leaseClient = new Client(connection, identity);
  const instance = hostname();
  const signal = stopOnSignals(logger);
  const prober = new HttpProber();
  const loads = new HttpLoadProber();
  const traffic = new HttpTrafficProber();
  const namespace = flags.leaseNamespace ?? connection.namespace;
  const asked = flags.activator && askActivators(flags.activator.healthPort);
  const operator = createOperator({
    client,
    config: flags.config,
    prober,
    loads,
    traffic,
    activator: flags.activator && asked && { ...flags.activator, namespace, ask: asked.ask },
    namespaces: flags.namespaces,
    instance,
    logger,
    metrics,
  });
  const lease = new LeaderElection({
    client: leaseClient,
    namespace,
    name: NAME,
    identity: flags.identity ?? `${instance}-${crypto.randomUUID().slice(0, 8)}`,
    clock: systemClock,
    logger,
    observer: metrics.leader,
  });
  logger.info("starting", {
    server: connection.server,
    namespaces: flags.namespaces.length === 0 ? "all" : flags.namespaces,
    runtimeImage: flags.config.runtimeImage,
  });
  const outcome = await runManager({
    ...operator,
    ...(flags.leaderElect ? { lease } : {}),
    health: new HealthServer({ port: flags.healthPort, registry: metrics.registry }),
    signal,
    logger,
  });
  await Promise.all([client.close(), leaseClient.close(), prober.close(), loads.close(), traffic.close()]);
  asked?.close();
  return end(outcome, logger);
}

function end(outcome: "stopped" | "lost", logger: Logger): number {
  if (outcome === "stopped") return 0;
  logger.error("another operator may lead now: this one ends at once");
  return 1;
}

try {
  process.exitCode = await main();
  if (process.exitCode !== 0) process.exit();
} catch (error) {
  if (!(error instanceof FlagError) && !(error instanceof KubeConfigError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 64;
}
