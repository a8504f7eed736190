/** `modelwright train` and `modelwright optimize`. */
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { z } from "zod";
import { PORTS } from "../../crds/contract/names.ts";
import type { Progress } from "../../crds/contract/progress.ts";
import { OptimizationRun, TrainingRun, optimizationRun, trainingRun } from "../../crds/contract/run.ts";
import { fieldErrors } from "../../crds/kinds.ts";
import { Failure, asFailure, systemCode } from "../failure.ts";
import { type Management, processRegistry, startManagement } from "../management/server.ts";
import { display, resultLines } from "./display.ts";
import type { Environment } from "./environment.ts";
import { registerJobMetrics } from "./job-metrics.ts";
import { readManifests } from "./manifests.ts";
import { modelOf } from "./model-source.ts";
import { type Supervised, initialProgress, supervise, unknownRun } from "./supervise.ts";
import { writeTerminationMessage } from "./termination-message.ts";
import { UsageError } from "./usage.ts";
import { workerPlace } from "./worker-place.ts";
import type { WorkerPlace } from "../work.ts";

export type JobCommand = "train" | "optimize";

type JobRun = TrainingRun | OptimizationRun;

const KINDS = { train: "TrainingJob", optimize: "OptimizationJob" } as const;
const SCHEMAS: Record<JobCommand, z.ZodType<JobRun>> = { train: TrainingRun, optimize: OptimizationRun };

/** The run of a pod. Throws Failure: InputMissing, InvalidSpec naming the field. */
async function readRun(command: JobCommand, file: string): Promise<JobRun> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new Failure("InputMissing", `${file} cannot be read (${systemCode(cause) ?? "unknown"})`, { cause });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Failure("InvalidSpec", `${file} is no JSON`, { cause });
  }
  const parsed = SCHEMAS[command].safeParse(json);
  if (parsed.success) return parsed.data;
  const [first] = fieldErrors(parsed.error);
  throw new Failure("InvalidSpec", `${file}: ${first?.field ?? ""}: ${first?.message ?? ""}`);
}

/** The run that the manifests ask for. */
async function runOf(command: JobCommand, files: readonly string[], volumes: string): Promise<JobRun> {
  const manifests = await readManifests(files);
  const jobs = manifests.filter(({ kind }) => kind === KINDS[command]);
  // A job that another one's base comes from is given, too.
  const sources = jobs.map((each) => (each.kind === "TrainingJob" ? each.spec.model.base?.from : undefined));
  const asked = jobs.filter(
    ({ kind, metadata }) => !sources.some((from) => from?.kind === kind && from.name === metadata.name),
  );
  const [job] = command === "train" ? asked : jobs;
  if (job === undefined) throw new UsageError(`${command} needs a manifest of kind ${KINDS[command]}`);
  if (job.kind === "TrainingJob") {
    if (asked.length > 1) throw new UsageError("train takes one TrainingJob at a time");
    const { base } = job.spec.model;
    if (base?.from !== undefined) return trainingRun(job, await modelOf(base, manifests, volumes, "spec.model.base"));
    return trainingRun(job);
  }
  if (job.kind === "OptimizationJob") return optimizationRun(job, await modelOf(job.spec.model, manifests, volumes));
  throw new UsageError(`${command} cannot run a ${job.kind}`);
}

function port(text: string | undefined, inPod: boolean): number | undefined {
  if (text === undefined) return inPod ? PORTS.management : undefined;
  const number = Number(text);
  if (Number.isInteger(number) && number >= 0 && number <= 65535) return number;
  throw new UsageError("--management-port must be a number from 0 to 65535");
}

async function manage(supervised: Supervised, managementPort: number | undefined): Promise<Management | undefined> {
  if (managementPort === undefined) return undefined;
  const registry = processRegistry();
  registerJobMetrics(registry, supervised.progress);
  const { progress, live } = supervised;
  return startManagement({ port: managementPort, progress, live, registry }).catch((error: unknown) => {
    if (systemCode(error) !== "EADDRINUSE") throw error;
    throw new UsageError(`port ${managementPort} is taken; choose another --management-port`);
  });
}

function say(run: JobRun, progress: Progress, { out, err }: Environment): void {
  if (progress.failure === undefined) out(`${run.job.name}: ${progress.state}`);
  else err(`${run.job.name}: ${progress.failure.reason}: ${progress.failure.message}`);
  for (const line of resultLines(progress)) out(line);
}

interface Options {
  volumes: string;
  managementPort: number | undefined;
  messageFile: string | undefined;
  worker: WorkerPlace | undefined;
}

async function compute(run: JobRun, environment: Environment, options: Options): Promise<number> {
  const shown = display(environment);
  const { threads, energy } = environment;
  const surroundings = { volumes: options.volumes, threads, energy, worker: options.worker };
  const supervised = supervise(run, surroundings, (progress) => shown.show(progress));
  // As process 1 of a container, a program that does not listen is not ended by these signals.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, supervised.terminate);
  shown.show(initialProgress(run));
  const management = await manage(supervised, options.managementPort).catch((error: unknown) => {
    supervised.terminate();
    throw error;
  });
  const { progress, exitCode } = await supervised.finished;
  shown.end();
  say(run, progress, environment);
  await writeTerminationMessage(progress, options.messageFile);
  await management?.close();
  return exitCode;
}

/** A pod's specification that cannot be read is told to Kubernetes too. */
async function readRunOfPod(command: JobCommand, file: string, messageFile: string | undefined): Promise<JobRun> {
  try {
    return await readRun(command, file);
  } catch (error) {
    const { reason, message, exitCode } = asFailure(error);
    const failure = { reason, message: message.slice(0, 1024), exitCode };
    await writeTerminationMessage({ ...unknownRun(command), state: "Failed", failure }, messageFile);
    throw error;
  }
}

export async function job(command: JobCommand, argv: string[], environment: Environment): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      job: { type: "string" },
      file: { type: "string", short: "f", multiple: true, default: [] },
      volumes: { type: "string", default: environment.volumes },
      "management-port": { type: "string" },
      "termination-message": { type: "string" },
      worker: { type: "string" },
      "worker-address": { type: "string", multiple: true },
      "workers-key": { type: "string" },
    },
  });
  const { job: jobFile, file: files, volumes } = values;
  if ((jobFile === undefined) === (files.length === 0))
    throw new UsageError(`${command} needs either --job FILE or -f FILE`);
  const options = {
    volumes,
    managementPort: port(values["management-port"], jobFile !== undefined),
    messageFile: values["termination-message"],
    worker: workerPlace(values) ?? environment.worker,
  };
  const run =
    jobFile === undefined
      ? await runOf(command, files, volumes)
      : await readRunOfPod(command, jobFile, options.messageFile);
  return compute(run, environment, options);
}
