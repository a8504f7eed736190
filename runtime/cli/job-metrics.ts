/** A run's progress as Prometheus metrics. */
import { Gauge, type Registry } from "prom-client";
import type { Progress } from "../../crds/contract/progress.ts";

/** Adds the metrics to `registry`; they are read when they are asked for. */
export function registerJobMetrics(registry: Registry, progress: () => Progress): void {
  const gauge = (name: string, help: string, value: () => number | undefined) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const current = value();
        if (current !== undefined) this.set(current);
      },
    });
  const job = () => {
    const current = progress();
    return current.kind === "ServingProgress" ? undefined : current;
  };
  const training = () => {
    const current = progress();
    return current.kind === "TrainingProgress" ? current : undefined;
  };
  gauge("modelwright_job_progress_ratio", "Share of the run that is done", () => {
    const percent = job()?.progressPercent;
    return percent === undefined ? undefined : percent / 100;
  });
  gauge("modelwright_job_eta_seconds", "Estimated time to the end of the run", () => job()?.etaSeconds);
  gauge("modelwright_training_epoch", "Finished epochs", () => training()?.epoch);
  gauge("modelwright_training_steps", "Finished steps", () => training()?.step);
  gauge("modelwright_training_loss", "Training loss of the last epoch", () => training()?.loss);
  gauge("modelwright_training_examples_per_second", "Pace of the training", () => training()?.examplesPerSecond);
  labelled(registry, "modelwright_training_metric", "Metrics of the last epoch", "metric", () => training()?.metrics);
  labelled(registry, "modelwright_training_phase_seconds", "Time spent in each state", "state", () => {
    return training()?.phaseSeconds;
  });
}

/** One gauge for several numbers, told apart by a label. */
function labelled(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: () => Readonly<Record<string, number>> | undefined,
): Gauge {
  return new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      for (const [key, value] of Object.entries(values() ?? {})) this.set({ [label]: key }, value);
    },
  });
}
