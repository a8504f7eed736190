/** TensorFlow Serving's classify and regress calls: examples to tensors, outputs to results. Pure. */
import { Decimal, excerpt, isObject } from "./json.ts";
import type { PredictDocument } from "./predict.ts";
import { RequestError, refuse } from "./request-error.ts";
import { sinkOf, textsOf } from "./scalars.ts";
import { type Signature, type Tensor, type TensorSpec, elements } from "./tensor.ts";

export type Method = "classify" | "regress";
type Example = Readonly<Record<string, unknown>>;

/** The inputs of all examples, a row each; 400 with TensorFlow Serving's message otherwise. */
export function readExamples(method: Method, document: PredictDocument, model: string, signature: Signature): Tensor[] {
  const { members } = document;
  const examples = mergedExamples(method, members);
  return signature.inputs.map((spec) => readFeature(spec, examples, model));
}

function mergedExamples(method: Method, { examples, context }: Readonly<Record<string, unknown>>): Example[] {
  if (examples === undefined) refuse(`When method is ${method}, key 'examples' is expected and was not found`);
  if (!Array.isArray(examples))
    refuse(`When method is ${method}, key 'examples' must be a list; got ${excerpt(examples)}`);
  if (examples.length === 0) refuse(`When method is ${method}, key 'examples' must not be an empty list`);
  const shared = context === undefined ? {} : asExample(context);
  return (examples as unknown[]).map((item) => {
    const example = asExample(item);
    const twice = Object.keys(example).find((name) => Object.hasOwn(shared, name));
    if (twice !== undefined) refuse(`Feature: ${twice} is in 'context' and in an example; give it in one place`);
    return { ...shared, ...example };
  });
}

function asExample(value: unknown): Example {
  return isObject(value) ? value : refuse(`Example must be JSON object but got JSON ${excerpt(value)}`);
}

function readFeature(spec: TensorSpec, examples: readonly Example[], model: string): Tensor {
  const { name, datatype } = spec;
  const rest = spec.shape.slice(1);
  const [open, ...others] = rest.filter((size) => size === -1);
  if (others.length > 0 || spec.shape[0] !== -1) {
    throw new RequestError("Unsupported", `input '${name}' of model '${model}' has no form as a feature; use :predict`);
  }
  const features = examples.map((example) => valuesOf(example, name, datatype));
  const width = open === undefined ? elements(rest) : (features[0]?.length ?? 0);
  const uneven = features.find(({ length }) => length !== width || length === 0);
  if (uneven !== undefined) {
    refuse(
      `Key: ${name}.  Number of ${datatype} values != expected.  values size: ${uneven.length} but output shape: [${rest.join(",")}]`,
    );
  }
  const sink = sinkOf(datatype, examples.length * width);
  for (const [row, values] of features.entries()) {
    for (const [column, value] of values.entries()) sink.put(row * width + column, value);
  }
  const known = -elements(rest);
  const shape = [examples.length, ...rest.map((size) => (size === -1 ? width / (known || 1) : size))];
  return { name, datatype, shape, data: sink.data };
}

/** A feature is one value or a list of values of one kind. */
function valuesOf(example: Example, name: string, datatype: string): unknown[] {
  if (!Object.hasOwn(example, name)) {
    refuse(`Feature: ${name} (data type: ${datatype}) is required but could not be found.`);
  }
  const value = example[name];
  const values: unknown[] = Array.isArray(value) ? value : [value];
  const odd = values.find(
    (item) => item === null || Array.isArray(item) || (isObject(item) && !Object.hasOwn(item, "b64")),
  );
  if (odd !== undefined) refuse(`Feature: ${name} has element with unexpected JSON type: ${kindOf(odd)}`);
  const [first] = values;
  if (values.some((item) => kindOf(item) !== kindOf(first))) {
    refuse(`Unexpected element type in feature: ${name} expecting type: ${kindOf(first)}`);
  }
  return values;
}

function kindOf(value: unknown): string {
  if (value === null) return "Null";
  if (Array.isArray(value)) return "Array";
  if (typeof value === "number" || typeof value === "bigint" || value instanceof Decimal) return "Number";
  if (typeof value === "boolean") return "Bool";
  return isObject(value) && !Object.hasOwn(value, "b64") ? "Object" : "String";
}

/** Rows of `[label, score]` for classify, one number a row for regress. */
export function writeResults(method: Method, outputs: readonly Tensor[], model: string): string {
  const results = method === "classify" ? classes(outputs, model) : regressions(outputs, model);
  return `{"results":[${results.join(",")}]}`;
}

const FLOATS: ReadonlySet<string> = new Set(["FP16", "BF16", "FP32", "FP64"]);

function scoresOf(method: Method, outputs: readonly Tensor[], model: string): Tensor {
  const floats = outputs.filter(
    ({ datatype, shape }) => FLOATS.has(datatype) && (shape.length === 1 || shape.length === 2),
  );
  const [scores] = floats;
  if (scores === undefined || floats.length !== 1) {
    refuse(`model '${model}' has no single output of scores by row, as :${method} needs; use :predict`);
  }
  return scores;
}

/** Labels are a BYTES output of the shape of the scores; without one they are empty, as TensorFlow Serving has it. */
function classes(outputs: readonly Tensor[], model: string): string[] {
  const scores = scoresOf("classify", outputs, model);
  const labels = outputs.find(({ datatype, shape }) => datatype === "BYTES" && shape.join() === scores.shape.join());
  const names = labels === undefined ? [] : textsOf(labels, "tokens");
  const texts = textsOf(scores, "tokens");
  const [rows = 0, width = 1] = scores.shape;
  return Array.from({ length: rows }, (_, row) => {
    const items = Array.from({ length: width }, (_, column) => {
      const index = row * width + column;
      return `[${names[index] ?? '""'},${texts[index]}]`;
    });
    return `[${items.join(",")}]`;
  });
}

function regressions(outputs: readonly Tensor[], model: string): string[] {
  const scores = scoresOf("regress", outputs, model);
  const [, width = 1] = scores.shape;
  if (width !== 1)
    refuse(`output '${scores.name}' of model '${model}' has ${width} numbers a row, :regress needs one; use :predict`);
  return textsOf(scores, "tokens");
}
