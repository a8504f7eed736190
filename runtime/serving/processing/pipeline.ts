/** What is declared around the model: requests come in the outer signature, the model computes in its own. */
import type { InputStep, OutputStep, Processing } from "../../../crds/serving.ts";
import { only } from "../../../crds/schema.ts";
import { Failure } from "../../failure.ts";
import type { Signature, Tensor, TensorSpec } from "../tensor.ts";
import { normalizeStep, oneHotStep, rescaleStep } from "./number-steps.ts";
import { type ScoreReader, scoreReader } from "./scores.ts";
import { tokenizeStep } from "./tokenize-step.ts";

/** Makes one tensor from another: what the model takes, or what the next step does. Opening one throws Failure InvalidSpec. */
export interface TensorStep {
  /** What goes in. */
  readonly outer: TensorSpec;
  /** Throws RequestError InvalidRequest for what cannot be processed. The first tensor is the input itself. */
  readonly apply: (tensor: Tensor) => Promise<readonly Tensor[]> | readonly Tensor[];
  /** An input of the model that this step makes beside its own. */
  readonly alsoMakes?: string | undefined;
}

export interface ModelFolder {
  readonly dir: string;
  /** The URI that messages name. */
  readonly shownAs: string;
}

export class Pipeline {
  /** What clients see. */
  readonly signature: Signature;
  readonly #inner: Signature;
  readonly #steps: ReadonlyMap<string, readonly TensorStep[]>;
  readonly #scores: ScoreReader | undefined;

  constructor(inner: Signature, steps: ReadonlyMap<string, readonly TensorStep[]>, scores: ScoreReader | undefined) {
    this.#inner = inner;
    this.#steps = steps;
    this.#scores = scores;
    const made = new Set([...steps.values()].flat().map(({ alsoMakes }) => alsoMakes));
    const inputs = inner.inputs
      .filter(({ name }) => !made.has(name))
      .map((spec) => steps.get(spec.name)?.[0]?.outer ?? spec);
    this.signature = { inputs, outputs: scores?.outputs ?? inner.outputs };
  }

  /** The model's inputs, in its order. */
  async before(inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
    const made = new Map<string, Tensor>();
    for (const input of inputs) {
      let current = input;
      for (const step of this.#steps.get(input.name) ?? []) {
        const [own, ...others] = await step.apply(current);
        if (own === undefined) throw new Error(`a step gave nothing for input ${input.name}`);
        current = own;
        for (const other of others) made.set(other.name, other);
      }
      made.set(current.name, current);
    }
    return this.#inner.inputs.flatMap(({ name }) => made.get(name) ?? []);
  }

  after(outputs: readonly Tensor[]): readonly Tensor[] {
    return this.#scores?.read(outputs) ?? outputs;
  }
}

/** Throws Failure: InvalidSpec for steps that do not fit the model, InputMissing for files that are not there. */
export async function openPipeline(
  { input = [], output = [] }: Processing,
  signature: Signature,
  folder: ModelFolder,
): Promise<Pipeline> {
  const steps = new Map<string, TensorStep[]>();
  // From the model outwards: what a step makes is what the next one takes.
  for (const [index, declared] of [...input.entries()].reverse()) {
    const field = `processing.input[${index}]`;
    const spec = inputOf(declared, signature, field);
    const later = steps.get(spec.name) ?? [];
    const step = await openStep(declared, later[0]?.outer ?? spec, signature, folder, field);
    steps.set(spec.name, [step, ...later]);
  }
  return new Pipeline(signature, steps, await openScores(output, signature, folder));
}

function inputOf(step: InputStep, { inputs }: Signature, field: string): TensorSpec {
  const [kind, { input }] = only(step);
  const [first, ...more] = inputs;
  const spec = input === undefined ? first : inputs.find(({ name }) => name === input);
  const names = inputs.map(({ name }) => name).join(", ");
  if (spec === undefined)
    throw new Failure("InvalidSpec", `${field}.${kind}.input: the model has no input ${input}; it has ${names}`);
  const alsoMade = kind === "tokenize" ? 1 : 0;
  if (input === undefined && more.length > alsoMade) {
    throw new Failure("InvalidSpec", `${field}.${kind}.input: say which of the model's inputs is meant: ${names}`);
  }
  return spec;
}

function openStep(
  step: InputStep,
  made: TensorSpec,
  signature: Signature,
  folder: ModelFolder,
  field: string,
): Promise<TensorStep> | TensorStep {
  const [kind, settings] = only(step);
  const at = `${field}.${kind}`;
  switch (kind) {
    case "rescale":
      return rescaleStep(settings, made, at);
    case "normalize":
      return normalizeStep(settings, made, at);
    case "oneHot":
      return oneHotStep(settings, made, at);
    case "image":
      // sharp is large: only who needs it loads it.
      return import("./image-step.ts").then(({ imageStep }) => imageStep(settings, made, at));
    case "tokenize":
      return tokenizeStep(settings, made, signature, folder, at);
  }
}

async function openScores(
  steps: readonly OutputStep[],
  signature: Signature,
  folder: ModelFolder,
): Promise<ScoreReader | undefined> {
  if (steps.length === 0) return undefined;
  const settings = Object.assign({}, ...steps) as Parameters<typeof scoreReader>[0];
  if (Object.keys(settings).length !== steps.length) {
    throw new Failure("InvalidSpec", "processing.output: each kind of step may stand there once; remove the second");
  }
  return scoreReader(settings, signature, folder);
}

/** A step does not fit the tensor that it is declared for. */
export function misfit(field: string, { name, datatype, shape }: TensorSpec, needed: string): Failure {
  return new Failure(
    "InvalidSpec",
    `${field}: input ${name} is ${datatype} [${shape.join(",")}], this step makes ${needed}`,
  );
}
