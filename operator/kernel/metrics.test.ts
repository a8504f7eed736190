import { Controller } from "./controller.ts";
import { TerminalError } from "./errors.ts";
import { silentLogger } from "./logger.ts";
import { Metrics } from "./metrics.ts";
import { WorkQueue } from "./queue.ts";
import { FakeClock, settle } from "./testing/fake-clock.ts";

/** The series that dashboards for controllers made with controller-runtime read, with the labels that they select by. */
const STANDARD = [
  'workqueue_depth{name="thing",controller="thing",priority="0"}',
  'workqueue_adds_total{name="thing",controller="thing"}',
  'workqueue_retries_total{name="thing",controller="thing"}',
  'workqueue_queue_duration_seconds_count{name="thing",controller="thing"}',
  'workqueue_work_duration_seconds_count{name="thing",controller="thing"}',
  'workqueue_unfinished_work_seconds{name="thing",controller="thing"}',
  'workqueue_longest_running_processor_seconds{name="thing",controller="thing"}',
  'controller_runtime_reconcile_total{controller="thing",result="success"}',
  'controller_runtime_reconcile_total{controller="thing",result="requeue_after"}',
  'controller_runtime_reconcile_total{controller="thing",result="error"}',
  'controller_runtime_reconcile_errors_total{controller="thing"}',
  'controller_runtime_terminal_reconcile_errors_total{controller="thing"}',
  'controller_runtime_reconcile_time_seconds_count{controller="thing"}',
  'controller_runtime_active_workers{controller="thing"}',
  'controller_runtime_max_concurrent_reconciles{controller="thing"}',
  'rest_client_requests_total{code="200",method="GET",host="server:6443"}',
  'rest_client_request_duration_seconds_count{verb="GET",host="server:6443"}',
  'leader_election_master_status{name="lease"}',
  'leader_election_slowpath_total{name="lease"}',
];

it("metrics have the names and labels that dashboards expect, and count what happens", async () => {
  const metrics = new Metrics();
  const clock = new FakeClock();
  const queue = new WorkQueue({ name: "thing", clock, observer: metrics.queue("thing") });
  const ends: Record<string, () => Promise<{ requeueAfterSeconds: number } | void>> = {
    well: () => Promise.resolve(),
    later: () => Promise.resolve({ requeueAfterSeconds: 60 }),
    badly: () => Promise.reject(new Error("no")),
    "for good": () => Promise.reject(new TerminalError("never")),
    never: () => new Promise(() => undefined),
  };
  const reconcile = (key: string) => ends[key]?.() ?? Promise.resolve();
  const observed = metrics.controller("thing");
  const controller = new Controller({
    name: "thing",
    queue,
    reconcile,
    clock,
    logger: silentLogger,
    metrics: observed,
  });
  const stop = new AbortController();
  void controller.run(stop.signal);
  for (const key of Object.keys(ends)) queue.add(key);
  await settle();
  clock.stall(3000);
  metrics.client.called({ method: "GET", host: "server:6443", code: "200", seconds: 0.1 });
  metrics.leader.leading("lease", true);
  const text = await metrics.registry.metrics();
  const values = new Map(
    text.split("\n").map((line) => [line.slice(0, line.lastIndexOf(" ")), line.split(" ").at(-1)]),
  );
  expect(STANDARD.filter((series) => !values.has(series))).toEqual([]);
  const valueOf = (start: string) => [...values].find(([series]) => series.startsWith(start))?.[1];
  expect({
    adds: valueOf("workqueue_adds_total"),
    retries: valueOf("workqueue_retries_total"),
    running: valueOf("workqueue_longest_running_processor_seconds"),
    errors: valueOf("controller_runtime_reconcile_errors_total"),
    terminal: valueOf("controller_runtime_terminal_reconcile_errors_total"),
    active: valueOf("controller_runtime_active_workers"),
    leads: valueOf("leader_election_master_status"),
  }).toEqual({ adds: "7", retries: "1", running: "3", errors: "2", terminal: "1", active: "1", leads: "1" });
  stop.abort();
  queue.shutdown();
});
