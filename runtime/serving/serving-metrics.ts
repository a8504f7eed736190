import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Load } from "../../crds/contract/load.ts";
import type { BatcherObserver } from "./batcher.ts";
import type { ServedModel } from "./served-model.ts";

/** Numbers about serving, for Prometheus and for the autoscaler. */
export class ServingMetrics implements BatcherObserver {
  readonly #requests: Counter;
  readonly #seconds: Histogram;
  readonly #batchRows: Histogram;
  readonly #batchRequests: Histogram;
  readonly #restarts: Counter;
  #inFlight = 0;
  #finished = 0;
  #inFlightSeconds = 0;
  #inFlightSince = performance.now();
  #waitedSeconds = 0;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: "modelwright_requests_total",
      help: "Requests by protocol (v1: TensorFlow Serving, v2: Open Inference Protocol), call and HTTP status",
      labelNames: ["protocol", "call", "code"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "modelwright_request_seconds",
      help: "Time from a request's headers to its answer, of inference calls",
      labelNames: ["protocol"],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.#batchRows = new Histogram({
      name: "modelwright_batch_rows",
      help: "Rows of computed batches",
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    });
    this.#batchRequests = new Histogram({
      name: "modelwright_batch_requests",
      help: "Requests in computed batches",
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    });
    this.#restarts = new Counter({
      name: "modelwright_engine_restarts_total",
      help: "Times that the engine process died and was started again",
      registers,
    });
  }

  /** Numbers that are looked up when they are asked for. */
  watch(model: ServedModel, registry: Registry): void {
    const registers = [registry];
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    gauge("modelwright_queue_depth", "Requests that wait for the engine", () => model.batcher.waiting);
    gauge("modelwright_in_flight", "Inference requests received and not answered yet", () => this.#inFlight);
    gauge("modelwright_ready", "1 when the model is loaded and warm and the process is not draining", () =>
      Number(model.ready),
    );
    let counted = 0;
    const busy: Counter = new Counter({
      name: "modelwright_engine_busy_seconds_total",
      help: "Seconds for which the engine has computed",
      registers,
      collect() {
        const total = model.busySeconds;
        busy.inc(Math.max(0, total - counted));
        counted = Math.max(counted, total);
      },
    });
  }

  received(inference: boolean): void {
    if (inference) this.#count(1);
  }

  answered(protocol: "v1" | "v2", call: string, code: number, seconds: number, inference: boolean): void {
    this.#requests.labels(protocol, call, String(code)).inc();
    if (!inference) return;
    this.#seconds.labels(protocol).observe(seconds);
    this.#count(-1);
    this.#finished += 1;
  }

  /** The area under the number of requests in flight grows with time. */
  #count(change: number): void {
    const now = performance.now();
    this.#inFlightSeconds += (this.#inFlight * (now - this.#inFlightSince)) / 1000;
    this.#inFlightSince = now;
    this.#inFlight += change;
  }

  computed(rows: number, requests: number, _seconds: number, waitedSeconds: number): void {
    this.#waitedSeconds += waitedSeconds;
    this.#batchRows.observe(rows);
    this.#batchRequests.observe(requests);
  }

  restarted(): void {
    this.#restarts.inc();
  }

  load(model: ServedModel): Load {
    this.#count(0);
    return {
      inFlight: this.#inFlight,
      queued: model.batcher.waiting,
      finished: this.#finished,
      busySeconds: model.busySeconds,
      inFlightSeconds: this.#inFlightSeconds,
      waitedSeconds: this.#waitedSeconds,
    };
  }
}
