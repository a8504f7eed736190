/** Makes the planned candidates, one after the other; what a former process has finished is not made again. */
import type { Checkpoint as Policy } from "../../crds/training-job.ts";
import type { Compute, OptimizationRun } from "../../crds/contract/run.ts";
import { durationSeconds } from "../../crds/schema.ts";
import { batchCount } from "../data/batches.ts";
import type { Backend } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { buildLayersModel } from "../formats/tfjs-layers.ts";
import { CheckpointStore } from "../store/checkpoint-store.ts";
import type { Hold } from "../store/mirror.ts";
import { Checkpoints } from "../training/checkpoint.ts";
import type { Position } from "../training/position.ts";
import { softwareOf } from "../work.ts";
import type { Tried } from "./choice.ts";
import { compare } from "./goals.ts";
import type { Inputs, Source } from "./inputs.ts";
import { measure } from "./measure.ts";
import { applyMethod } from "./methods.ts";
import { type Trial, trialsOf } from "./plan.ts";
import { type Product, readProduct, writeProduct } from "./product.ts";
import type { Watch } from "./tuning.ts";
import { referenceAnswers, verifyAnswers } from "./verify.ts";
import type { Finished, Workplace } from "./workplace.ts";

type Optimization = OptimizationRun["optimization"];

export interface Making {
  backend: Backend;
  compute: Compute;
  threads: number | undefined;
  optimization: Optimization;
  specHash: string;
  source: Source;
  inputs: Inputs;
  workplace: Workplace;
  fence: Hold;
  signal: AbortSignal;
  /** `share`: how much of all is done, from 0 to 1. */
  onStep: (step: string, share: number) => void;
  onSaved: (step: number, savedAt: string) => void;
  onResumed: (step: number, savedAt: string) => void;
  /** A candidate is there; all so far. */
  onTried: (tried: readonly Tried[]) => void;
}

const keyOf = ({ methods }: Trial) => methods.join("-");

/** Within a training states are saved this often; each candidate is one, too. */
const POLICY: Policy = { everyEpochs: 1, keep: 2 };

/** Steps of training that making and measuring a candidate is taken for, to tell how much is done. */
const BASE_COST = 30;

function costOf({ methods }: Trial, { optimization, inputs: { train } }: Making): number {
  const method = optimization.methods[methods.at(-1) ?? 0];
  const training = method?.distil ?? method?.prune?.fineTune;
  if (training === undefined || train === undefined) return BASE_COST;
  return BASE_COST + training.epochs * batchCount(train, training.batchSize);
}

/** Follows one candidate's training: its states are saved beside the candidates. */
async function watchOf(key: string, making: Making, onShare: (share: number) => void): Promise<Watch> {
  const { backend, inputs, workplace, fence, signal, specHash, onSaved, onResumed } = making;
  const store = await CheckpointStore.open(workplace.trainingOf(key), inputs.source.dir, fence);
  let checkpoints: Checkpoints | undefined;
  return {
    signal,
    onShare,
    resume: async (step): Promise<Position | undefined> => {
      checkpoints = new Checkpoints({
        store,
        specHash,
        memory: step,
        policy: POLICY,
        dataset: inputs.trainDigest ?? "",
        software: softwareOf(backend),
        now: () => new Date(),
        onSaved: ({ position, savedAt }) => onSaved(position.step, savedAt),
        warn: (message) => console.warn(message),
      });
      const saved = await checkpoints.resume();
      if (saved !== undefined) onResumed(saved.position.step, saved.savedAt);
      return saved?.position;
    },
    passed: async (position) => checkpoints?.passed(position),
    save: async () => checkpoints?.save(),
  };
}

/** The product that the trial goes on from. */
async function parentOf({ methods }: Trial, { source, workplace, optimization }: Making): Promise<Product> {
  const former = methods.slice(0, -1);
  if (former.length === 0) return { stored: source.stored, sparse: false };
  const applied = former.flatMap((number) => optimization.methods.slice(number, number + 1));
  return readProduct(workplace.filesOf(former.join("-")), applied);
}

async function makeProduct(trial: Trial, making: Making, onPart: (step: string, share: number) => void) {
  const { backend, source, inputs, optimization } = making;
  const method = optimization.methods[trial.methods.at(-1) ?? -1];
  if (method === undefined) throw new RangeError("a trial has no method");
  let step = "";
  const watch = await watchOf(keyOf(trial), making, (share) => onPart(step, share));
  return applyMethod(await parentOf(trial, making), method, {
    tf: backend.tf,
    objective: source.objective,
    seed: optimization.seed,
    train: inputs.train,
    watch,
    onStep: (name) => {
      step = name;
      onPart(step, 0);
    },
  });
}

/** Writes the product's files, checks what they answer, and measures them. */
async function finish(product: Product, dir: string, name: string, making: Making) {
  const { backend, source, inputs, compute, threads, signal, optimization } = making;
  const { tf } = backend;
  await writeProduct(tf, product, dir, {
    examples: inputs.calibration ?? inputs.train,
    seed: optimization.seed,
    signature: source.signature,
  });
  const model = await buildLayersModel(tf, product.stored, "the changed model");
  const reference = await referenceAnswers(tf, model, inputs.test, signal);
  const parameters = model.countParams();
  model.dispose();
  const options = { tf, objective: source.objective, test: inputs.test, compute, threads, signal };
  const { comparison, answers } = await measure(source, { dir, shownAs: name, parameters }, options);
  verifyAnswers(reference, answers[1].predictions, product.quantize === undefined);
  const { before, after } = comparison;
  return { before, after };
}

async function make(trial: Trial, making: Making, onPart: (step: string, share: number) => void): Promise<Finished> {
  const { workplace, optimization } = making;
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  try {
    const product = await makeProduct(trial, making, onPart);
    onPart("measure", 1);
    return await workplace.keep(keyOf(trial), async (files) => {
      const measured = await finish(product, files, trial.name, making);
      return { ...measured, seconds: seconds() };
    });
  } catch (error) {
    // A search goes on with what can be made.
    const passable = error instanceof Failure && ["InvalidSpec", "ModelUnsupported"].includes(error.reason);
    if (optimization.search === undefined || !passable) throw error;
    const failure = error.message;
    return workplace.keep(keyOf(trial), () => Promise.resolve({ failure, seconds: seconds() }));
  }
}

function triedOf({ name }: Trial, { before, after, failure = "unknown" }: Finished): Tried {
  return before === undefined || after === undefined ? { name, failure } : { name, comparison: compare(before, after) };
}

/** Has the trial's parent been made? */
const isPossible = ({ methods }: Trial, workplace: Workplace) =>
  methods.length === 1 || workplace.find(methods.slice(0, -1).join("-"))?.after !== undefined;

/** All that was tried, with the names under which the workplace keeps them. Throws Failure. */
export async function makeCandidates(making: Making): Promise<{ tried: Tried[]; keys: string[] }> {
  const { optimization, workplace, onStep, onTried, signal } = making;
  const trials = trialsOf(optimization);
  const costs = trials.map((trial) => costOf(trial, making));
  const total = costs.reduce((sum, cost) => sum + cost, 0);
  const budget = optimization.search === undefined ? Infinity : durationSeconds(optimization.search.timeBudget);
  const tried: Tried[] = [];
  const keys: string[] = [];
  let done = 0;
  for (const [index, trial] of trials.entries()) {
    const cost = costs[index] ?? 0;
    const spent = done;
    done += cost;
    const former = workplace.find(keyOf(trial));
    const inTime = tried.length === 0 || workplace.seconds < budget;
    if (former === undefined && (!inTime || !isPossible(trial, workplace))) continue;
    signal.throwIfAborted();
    const onPart = (step: string, share: number) => onStep(step, (spent + share * cost) / total);
    tried.push(triedOf(trial, former ?? (await make(trial, making, onPart))));
    keys.push(keyOf(trial));
    onTried(tried);
  }
  if (tried.some(({ comparison }) => comparison !== undefined)) return { tried, keys };
  throw new Failure("ModelUnsupported", `No candidate could be made: ${tried[0]?.failure ?? "there is no method"}`);
}
