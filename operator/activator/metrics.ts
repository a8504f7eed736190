/** The activator's numbers for Prometheus. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { HoldsObserver } from "./holds.ts";

export function activatorMetrics(registry: Registry, held: () => number): HoldsObserver {
  const registers = [registry];
  const seconds = new Histogram({
    name: "modelwright_activator_hold_seconds",
    help: "Time that requests were held before a pod got them",
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 2, 3, 5, 10, 20, 30, 60],
    registers,
  });
  const refused = new Counter({
    name: "modelwright_activator_refused_total",
    help: "Requests that no pod got, by why",
    labelNames: ["reason"],
    registers,
  });
  const gauge: Gauge = new Gauge({
    name: "modelwright_activator_held",
    help: "Requests that are held",
    registers,
    collect: () => gauge.set(held()),
  });
  return {
    changed: () => undefined,
    forwarded: (held) => seconds.observe(held),
    refused: (reason) => refused.inc({ reason }),
  };
}
