import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { ControllerObserver, ReconcileOutcome } from "./controller.ts";
import type { InformerObserver, ObservedInformer } from "./informer.ts";
import type { LeaderObserver } from "./lease.ts";
import type { QueueObserver, WorkQueue } from "./queue.ts";
import type { CallObserver } from "./transport.ts";

const reconcileBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const queueBuckets = Array.from({ length: 12 }, (_, power) => 1e-8 * 10 ** power);
const results = { success: "success", requeue_after: "requeue_after", requeue: "requeue" } as const;

/** The kernel's numbers, under the names that dashboards for Kubernetes controllers expect. */
export class Metrics {
  readonly registry: Registry;
  readonly client: CallObserver;
  readonly informers: InformerObserver;
  readonly leader: LeaderObserver;
  readonly #queues = new Map<string, WorkQueue>();
  readonly #queue: ReturnType<typeof queueMetrics>;
  readonly #controller: ReturnType<typeof controllerMetrics>;

  constructor(registry: Registry = new Registry()) {
    this.registry = registry;
    collectDefaultMetrics({ register: registry });
    this.client = clientMetrics(registry);
    this.informers = informerMetrics(registry);
    this.leader = leaderMetrics(registry);
    this.#queue = queueMetrics(registry, this.#queues);
    this.#controller = controllerMetrics(registry);
  }

  /** For a WorkQueue of this name. */
  queue(name: string): QueueObserver {
    const labels = { name, controller: name };
    const { adds, waited, worked, retries } = this.#queue;
    adds.inc(labels, 0);
    retries.inc(labels, 0);
    return {
      attach: (queue) => this.#queues.set(name, queue),
      added: () => adds.inc(labels),
      taken: (seconds) => waited.observe(labels, seconds),
      finished: (seconds) => worked.observe(labels, seconds),
      retried: () => retries.inc(labels),
    };
  }

  /** For a Controller of this name. */
  controller(name: string): ControllerObserver {
    const { total, errors, terminal, timeouts, time, active, workers, stale } = this.#controller;
    const labels = { controller: name };
    for (const result of [...Object.values(results), "error"]) total.inc({ ...labels, result }, 0);
    for (const counter of [errors, terminal, timeouts, stale]) counter.inc(labels, 0);
    active.set(labels, 0);
    return {
      workers: (count) => workers.set(labels, count),
      started: () => active.inc(labels),
      finished: (outcome, seconds) => {
        active.dec(labels);
        time.observe(labels, seconds);
        total.inc({ ...labels, result: resultOf(outcome) });
        if (resultOf(outcome) === "error") errors.inc(labels);
        if (outcome === "terminal_error") terminal.inc(labels);
        if (outcome === "timeout") timeouts.inc(labels);
      },
      skippedAsStale: () => stale.inc(labels),
    };
  }
}

function resultOf(outcome: ReconcileOutcome): string {
  return outcome in results ? outcome : "error";
}

function queueMetrics(registry: Registry, queues: ReadonlyMap<string, WorkQueue>) {
  const labelNames = ["name", "controller"] as const;
  const registers = [registry];
  const gauge = (name: string, help: string, measure: (queue: WorkQueue) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        for (const [queue, state] of queues) this.set({ name: queue, controller: queue }, measure(state));
      },
    });
  gauge(
    "workqueue_unfinished_work_seconds",
    "Seconds of work that is under way and not yet observed by work_duration.",
    (queue) => queue.runningSeconds().reduce((sum, seconds) => sum + seconds, 0),
  );
  gauge(
    "workqueue_longest_running_processor_seconds",
    "Seconds that the longest running worker has been at it.",
    (queue) => Math.max(0, ...queue.runningSeconds()),
  );
  const depth = new Gauge({
    name: "workqueue_depth",
    help: "Keys that wait for a worker.",
    labelNames: [...labelNames, "priority"],
    registers,
    collect() {
      this.reset();
      for (const [name, queue] of queues) {
        const depths = queue.depthByPriority();
        if (depths.size === 0) this.set({ name, controller: name, priority: "0" }, 0);
        for (const [priority, depth] of depths) this.set({ name, controller: name, priority: String(priority) }, depth);
      }
    },
  });
  const buckets = queueBuckets;
  return {
    depth,
    adds: new Counter({ name: "workqueue_adds_total", help: "Keys added.", labelNames, registers }),
    retries: new Counter({
      name: "workqueue_retries_total",
      help: "Keys added again after a failure.",
      labelNames,
      registers,
    }),
    waited: new Histogram({
      name: "workqueue_queue_duration_seconds",
      help: "Seconds that a key waited for a worker.",
      labelNames,
      registers,
      buckets,
    }),
    worked: new Histogram({
      name: "workqueue_work_duration_seconds",
      help: "Seconds that a worker spent on a key.",
      labelNames,
      registers,
      buckets,
    }),
  };
}

function controllerMetrics(registry: Registry) {
  const labelNames = ["controller"] as const;
  const registers = [registry];
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames, registers });
  return {
    total: new Counter({
      name: "controller_runtime_reconcile_total",
      help: "Reconciles by result.",
      labelNames: ["controller", "result"] as const,
      registers,
    }),
    errors: counter("controller_runtime_reconcile_errors_total", "Reconciles that failed."),
    terminal: counter(
      "controller_runtime_terminal_reconcile_errors_total",
      "Reconciles that failed and are not retried.",
    ),
    timeouts: counter("controller_runtime_reconcile_timeouts_total", "Reconciles that exceeded their time."),
    stale: counter("stale_sync_skips_total", "Reconciles put off until a store has seen an earlier write."),
    time: new Histogram({
      name: "controller_runtime_reconcile_time_seconds",
      help: "Seconds of a reconcile.",
      labelNames,
      registers,
      buckets: reconcileBuckets,
    }),
    active: gauge("controller_runtime_active_workers", "Workers that reconcile now."),
    workers: gauge("controller_runtime_max_concurrent_reconciles", "Workers at most."),
  };
}

function clientMetrics(registry: Registry): CallObserver {
  const registers = [registry];
  const total = new Counter({
    name: "rest_client_requests_total",
    help: "Answers of the API server.",
    labelNames: ["code", "method", "host"],
    registers,
  });
  const duration = new Histogram({
    name: "rest_client_request_duration_seconds",
    help: "Seconds until the head of an answer.",
    labelNames: ["verb", "host"],
    registers,
    buckets: reconcileBuckets,
  });
  return {
    called({ method, host, code, seconds }) {
      total.inc({ code, method, host });
      duration.observe({ verb: method, host }, seconds);
    },
  };
}

function informerMetrics(registry: Registry): InformerObserver {
  const labelNames = ["resource"] as const;
  const registers = [registry];
  const informers: ObservedInformer[] = [];
  const gauge = (name: string, help: string, measure: (informer: ObservedInformer) => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        for (const informer of informers) this.set({ resource: informer.resource.plural }, measure(informer));
      },
    });
  gauge("informer_synced", "1 once the first list is complete.", (informer) => Number(informer.hasSynced));
  gauge("informer_objects", "Records in the store.", (informer) => informer.store.size);
  gauge("store_resource_version", "Up to where the store reflects the API server.", (informer) =>
    Number(informer.resourceVersion ?? 0),
  );
  const counter = (name: string, help: string) => new Counter({ name, help, labelNames, registers });
  const failures = counter("informer_failures_total", "Lists and watches that ended with an error.");
  const lists = counter("informer_lists_total", "Whole lists that were read.");
  return {
    attach: (informer) => {
      informers.push(informer);
      for (const count of [failures, lists]) count.inc({ resource: informer.resource.plural }, 0);
    },
    failed: (resource) => failures.inc({ resource }),
    listed: (resource) => lists.inc({ resource }),
  };
}

function leaderMetrics(registry: Registry): LeaderObserver {
  const labelNames = ["name"] as const;
  const registers = [registry];
  const status = new Gauge({
    name: "leader_election_master_status",
    help: "1 while this process leads.",
    labelNames,
    registers,
  });
  const slow = new Counter({
    name: "leader_election_slowpath_total",
    help: "Renewals that had to read the lease first.",
    labelNames,
    registers,
  });
  return {
    leading: (name, isLeader) => {
      status.set({ name }, isLeader ? 1 : 0);
      slow.inc({ name }, 0);
    },
    slowRenewal: (name) => slow.inc({ name }),
  };
}
