import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Load } from "../../crds/contract/load.ts";
import type { BatcherObserver } from "./batcher.ts";
import type { ServedModel } from "./served-model.ts";

/** The models that numbers are about. */
export interface MeasuredModels {
  readonly ready: boolean;
  models(): readonly ServedModel[];
}

/** A call that was answered. */
export interface Answered {
  /** v1: TensorFlow Serving, v2: Open Inference Protocol, grpc: the latter's gRPC form. */
  readonly protocol: "v1" | "v2" | "grpc";
  readonly call: string;
  /** HTTP status, or the name of a gRPC status. */
  readonly code: number | string;
  readonly seconds: number;
  readonly inference: boolean;
  /** Absent where no model was meant or found. */
  readonly model?: Pick<ServedModel, "name" | "version"> | undefined;
}

const MODEL_LABELS = ["model", "version"] as const;

/** What counts under some labels: to look it up in the library costs several times what counting does. */
class Held<T> {
  readonly #find: (...labels: string[]) => T;
  readonly #held = new Map<string, T>();

  constructor(find: (...labels: string[]) => T) {
    this.#find = find;
  }

  labels(...labels: string[]): T {
    const key = labels.join("\n");
    let found = this.#held.get(key);
    if (found === undefined) this.#held.set(key, (found = this.#find(...labels)));
    return found;
  }
}

/** Numbers about serving, for Prometheus and for the autoscaler. */
export class ServingMetrics {
  readonly #requestsOf: Held<Counter.Internal>;
  readonly #secondsOf: Held<Histogram.Internal<string>>;
  readonly #batchRows: Histogram;
  readonly #batchRequests: Histogram;
  readonly #computeSeconds: Histogram;
  readonly #queueSeconds: Histogram;
  readonly #paddedRows: Counter;
  readonly #restarts: Counter;
  #inFlight = 0;
  #finished = 0;
  #inFlightSeconds = 0;
  #inFlightSince = performance.now();
  #waitedSeconds = 0;

  constructor(registry: Registry) {
    const registers = [registry];
    const requests = new Counter({
      name: "modelwright_requests_total",
      help: "Requests by protocol (v1: TensorFlow Serving, v2: Open Inference Protocol, grpc), call, status and model",
      labelNames: ["protocol", "call", "code", ...MODEL_LABELS],
      registers,
    });
    const seconds = new Histogram({
      name: "modelwright_request_seconds",
      help: "Time from a request's headers to its answer, of inference calls",
      labelNames: ["protocol", ...MODEL_LABELS],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.#requestsOf = new Held((...labels) => requests.labels(...labels));
    this.#secondsOf = new Held((...labels) => seconds.labels(...labels));
    this.#batchRows = new Histogram({
      name: "modelwright_batch_rows",
      help: "Rows of computed batches",
      labelNames: MODEL_LABELS,
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
      registers,
    });
    this.#batchRequests = new Histogram({
      name: "modelwright_batch_requests",
      help: "Requests in computed batches",
      labelNames: MODEL_LABELS,
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    });
    this.#computeSeconds = new Histogram({
      name: "modelwright_batch_seconds",
      help: "Time in which the engine computed a batch",
      labelNames: MODEL_LABELS,
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.#queueSeconds = new Histogram({
      name: "modelwright_queue_seconds",
      help: "Time that computed requests have waited for the engine",
      labelNames: MODEL_LABELS,
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
      registers,
    });
    this.#paddedRows = new Counter({
      name: "modelwright_batch_padded_rows_total",
      help: "Rows that were computed only to fill batches up to an allowed size",
      labelNames: MODEL_LABELS,
      registers,
    });
    this.#restarts = new Counter({
      name: "modelwright_engine_restarts_total",
      help: "Times that an engine process died and was started again",
      labelNames: MODEL_LABELS,
      registers,
    });
  }

  /** Numbers that are looked up when they are asked for. */
  watch(measured: MeasuredModels, registry: Registry): void {
    const registers = [registry];
    const info: Gauge = new Gauge({
      name: "modelwright_model_info",
      help: "1; which engine and device compute a version",
      labelNames: [...MODEL_LABELS, "engine", "device"],
      registers,
      collect() {
        info.reset();
        for (const { name, version, loaded } of measured.models()) {
          if (loaded !== undefined) info.labels(name, version, loaded.engine, loaded.device).set(1);
        }
      },
    });
    const perModel = (name: string, help: string, value: (model: ServedModel) => number) =>
      new Gauge({
        name,
        help,
        labelNames: MODEL_LABELS,
        registers,
        collect() {
          this.reset();
          for (const model of measured.models()) this.labels(model.name, model.version).set(value(model));
        },
      });
    perModel("modelwright_queue_depth", "Requests that wait for the engine", (model) => model.batcher.waiting);
    perModel("modelwright_model_ready", "1 when this version is loaded and warm", (model) => Number(model.ready));
    const gauge = (name: string, help: string, value: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    gauge("modelwright_in_flight", "Inference requests received and not answered yet", () => this.#inFlight);
    gauge("modelwright_ready", "1 when models are loaded and warm and the process is not draining", () =>
      Number(measured.ready),
    );
    const counted = new Map<string, number>();
    const busy: Counter = new Counter({
      name: "modelwright_engine_busy_seconds_total",
      help: "Seconds for which the engine has computed",
      labelNames: MODEL_LABELS,
      registers,
      collect() {
        for (const { name, version, busySeconds } of measured.models()) {
          const key = JSON.stringify([name, version]);
          const before = counted.get(key) ?? 0;
          busy.labels(name, version).inc(Math.max(0, busySeconds - before));
          counted.set(key, Math.max(before, busySeconds));
        }
      },
    });
  }

  received(inference: boolean): void {
    if (inference) this.#count(1);
  }

  answered({ protocol, call, code, seconds, inference, model }: Answered): void {
    const [name, version] = [model?.name ?? "", model?.version ?? ""];
    this.#requestsOf.labels(protocol, call, String(code), name, version).inc();
    if (!inference) return;
    this.#secondsOf.labels(protocol, name, version).observe(seconds);
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

  /** Numbers about the batches of one version. */
  batches(name: string, version: string): BatcherObserver {
    const waits = this.#queueSeconds.labels(name, version);
    const padded = this.#paddedRows.labels(name, version);
    const rowCounts = this.#batchRows.labels(name, version);
    const requestCounts = this.#batchRequests.labels(name, version);
    const times = this.#computeSeconds.labels(name, version);
    return {
      computed: ({ rows, padding, requests, seconds, waitedSeconds }) => {
        for (const waited of waitedSeconds) {
          this.#waitedSeconds += waited;
          waits.observe(waited);
        }
        if (padding > 0) padded.inc(padding);
        rowCounts.observe(rows);
        requestCounts.observe(requests);
        times.observe(seconds);
      },
    };
  }

  restarted(name: string, version: string): void {
    this.#restarts.labels(name, version).inc();
  }

  load(measured: MeasuredModels): Load {
    const models = measured.models();
    this.#count(0);
    return {
      inFlight: this.#inFlight,
      queued: models.reduce((sum, { batcher }) => sum + batcher.waiting, 0),
      finished: this.#finished,
      busySeconds: models.reduce((sum, { busySeconds }) => sum + busySeconds, 0),
      inFlightSeconds: this.#inFlightSeconds,
      waitedSeconds: this.#waitedSeconds,
    };
  }
}
