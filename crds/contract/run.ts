/** job.json: what a pod is told to do. Made from a manifest by pure functions, checked again by the runtime. */
import { z } from "zod";
import { type Gpu, Runtime, ServingRuntime } from "../common.ts";
import { accessOf, accessShape, OutputUri, Uri } from "../location.ts";
import type { ModelDeployment } from "../model-deployment.ts";
import { type OptimizationJob, optimizationShape } from "../optimization-job.ts";
import { ServingSettings, servingShape } from "../serving.ts";
import { Checkpoint, type TrainingJob, trainingShape } from "../training-job.ts";
import { shortHash } from "./canonical.ts";

const Identity = z.strictObject({
  kind: z.string(),
  namespace: z.string(),
  name: z.string(),
  uid: z.string(),
  /** `<name>-<specHash>`. */
  run: z.string(),
  specHash: z.string(),
});

/** What computes: the engine, and what to do when a GPU was asked for and none is seen. */
const Compute = z.strictObject({
  engine: Runtime.shape.engine,
  gpu: z.strictObject({ onMissing: z.enum(["Fail", "UseCpu"]) }).optional(),
});

const ServingCompute = Compute.extend({
  engine: ServingRuntime.shape.engine,
  allowSavedModel: ServingRuntime.shape.allowSavedModel,
});

const RunOutput = z.strictObject({
  /** Folder of this run: `<output.uri>/<run>`. */
  uri: OutputUri,
  ...accessShape,
  licence: z.string().optional(),
});

/** A model that is known exactly; without digest, a folder whose digest is reported when it is loaded. */
const ResolvedModel = z.strictObject({ uri: Uri, digest: z.string().optional(), ...accessShape });

export const TrainingRun = z.strictObject({
  kind: z.literal("TrainingRun"),
  job: Identity,
  compute: Compute,
  training: z.strictObject(trainingShape),
  checkpoint: Checkpoint,
  output: RunOutput,
});

export const OptimizationRun = z.strictObject({
  kind: z.literal("OptimizationRun"),
  job: Identity,
  compute: Compute,
  model: ResolvedModel,
  optimization: z.strictObject(optimizationShape),
  output: RunOutput,
});

export const ServingRun = z.strictObject({
  kind: z.literal("ServingRun"),
  /** Name under which clients call the model: the ModelDeployment's. */
  name: z.string(),
  namespace: z.string(),
  revision: z.string(),
  compute: ServingCompute,
  model: ResolvedModel,
  /** Absent: everything as usual. */
  settings: ServingSettings.optional(),
});

export const Run = z.discriminatedUnion("kind", [TrainingRun, OptimizationRun, ServingRun]);

export type TrainingRun = z.output<typeof TrainingRun>;
export type OptimizationRun = z.output<typeof OptimizationRun>;
export type ServingRun = z.output<typeof ServingRun>;
export type Run = z.output<typeof Run>;
export type RunOutput = z.output<typeof RunOutput>;
export type Compute = z.output<typeof Compute>;
export type ResolvedModel = z.output<typeof ResolvedModel>;

function compute<Engine>(engine: Engine, gpu: Gpu | undefined): Pick<Compute, "gpu"> & { engine: Engine } {
  return gpu === undefined ? { engine } : { engine, gpu: { onMissing: gpu.onMissing } };
}

function identity(object: TrainingJob | OptimizationJob, specHash: string) {
  const { name, namespace = "default", uid = "" } = object.metadata;
  return { kind: object.kind, namespace, name, uid, run: `${name}-${specHash}`, specHash };
}

function runOutput(output: TrainingJob["spec"]["output"], run: string): RunOutput {
  const { uri, licence } = output;
  return { uri: `${uri}/${run}`, ...accessOf(output), ...(licence === undefined ? {} : { licence }) };
}

/** The part of a spec that the result depends on. */
function pick<T extends object, K extends string>(spec: T, shape: Record<K, unknown>): Pick<T, K & keyof T> {
  return Object.fromEntries(Object.entries(spec).filter(([key]) => key in shape)) as Pick<T, K & keyof T>;
}

type Training = TrainingRun["training"];

/** The training with the model that its base's `from` stands for. */
function withBase(training: Training, base: ResolvedModel | undefined): Training {
  if (base === undefined || training.model.base === undefined) return training;
  const { freeze, upTo } = training.model.base;
  const known = { ...base, freeze, ...(upTo === undefined ? {} : { upTo }) };
  return { ...training, model: { ...training.model, base: known } };
}

/** The run that a TrainingJob asks for; `base`: the model that `spec.model.base.from` stands for. */
export function trainingRun(job: TrainingJob, base?: ResolvedModel): TrainingRun {
  const training = withBase(pick(job.spec, trainingShape), base);
  const id = identity(job, shortHash({ training, output: job.spec.output, engine: job.spec.runtime.engine }));
  return {
    kind: "TrainingRun",
    job: id,
    compute: compute(job.spec.runtime.engine, job.spec.gpu),
    training,
    checkpoint: job.spec.checkpoint,
    output: runOutput(job.spec.output, id.run),
  };
}

/** The run that an OptimizationJob asks for, once its model is known. */
export function optimizationRun(job: OptimizationJob, model: ResolvedModel): OptimizationRun {
  const optimization = pick(job.spec, optimizationShape);
  const id = identity(
    job,
    shortHash({ optimization, model, output: job.spec.output, engine: job.spec.runtime.engine }),
  );
  return {
    kind: "OptimizationRun",
    job: id,
    compute: compute(job.spec.runtime.engine, job.spec.gpu),
    model,
    optimization,
    output: runOutput(job.spec.output, id.run),
  };
}

/** What the pods of one revision of a ModelDeployment serve. */
export function servingRun(deployment: ModelDeployment, revision: string, model: ResolvedModel): ServingRun {
  const { name, namespace = "default" } = deployment.metadata;
  const { runtime, gpu } = deployment.spec;
  const { engine, allowSavedModel } = runtime;
  const settings = servingSettings(deployment);
  return {
    kind: "ServingRun",
    name,
    namespace,
    revision,
    compute: { ...compute(engine, gpu), ...(allowSavedModel === undefined ? {} : { allowSavedModel }) },
    model,
    ...(Object.keys(settings).length === 0 ? {} : { settings }),
  };
}

/** What a deployment says about its requests; what it leaves out is left out. */
export function servingSettings({ spec }: ModelDeployment): ServingSettings {
  return pick(spec, servingShape);
}
