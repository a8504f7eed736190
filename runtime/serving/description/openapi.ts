/** The server for tools and people: an OpenAPI 3.1 document of the models that serve, with requests that work as they stand. */
import type { Host } from "../calls.ts";
import type { ModelRepository } from "../model-repository.ts";
import { RequestError } from "../request-error.ts";
import type { Servable } from "../servable.ts";
import { MAX_TIMEOUT_MILLISECONDS, TIMEOUT_HEADER } from "../timeout-header.ts";
import { type Signature, elements } from "../tensor.ts";
import { ANY_TENSOR, tensorExample, tensorSchema } from "./tensor-schema.ts";

type Json = Readonly<Record<string, unknown>>;

export function openApi({ repository, version }: Host): Json {
  const models = servingModels(repository);
  return {
    openapi: "3.1.0",
    info: {
      title: "Modelwright",
      version,
      description:
        "TensorFlow Serving's REST API (/v1) and the Open Inference Protocol (/v2) for the models that serve.",
    },
    paths: {
      ...SERVER_PATHS,
      ...Object.assign({}, ...models.map((model) => modelPaths(model, model.signature))),
    },
    components: { schemas: { Error: ERROR }, responses: { Refused: REFUSED } },
  };
}

/** The version of each model that answers who names none. */
function servingModels(repository: ModelRepository): Servable[] {
  return repository.names().flatMap((name) => {
    try {
      const model = repository.find(name);
      return model.ready ? [model] : [];
    } catch (error) {
      if (error instanceof RequestError) return [];
      throw error;
    }
  });
}

const ERROR = object({ error: { type: "string" } });
const json = (schema: Json, example?: unknown) => ({
  "application/json": { schema, ...(example === undefined ? {} : { example }) },
});
const REFUSED = {
  description: "Not answered with a result; the error says why",
  content: json({ $ref: "#/components/schemas/Error" }),
};

function object(properties: Json, required = Object.keys(properties)): Json {
  return { type: "object", properties, required };
}

function operation(summary: string, tag: string, answer: Json, request?: Json): Json {
  return {
    summary,
    tags: [tag],
    ...(request === undefined ? {} : { parameters: [TIMEOUT_PARAMETER], requestBody: request }),
    responses: {
      "200": { description: "The answer", content: json(answer) },
      default: { $ref: "#/components/responses/Refused" },
    },
  };
}

const TIMEOUT_PARAMETER = {
  name: TIMEOUT_HEADER,
  in: "header",
  description: "Milliseconds after which the answer is of no use",
  schema: { type: "integer", minimum: 1, maximum: MAX_TIMEOUT_MILLISECONDS },
};

const text = { type: "string" };
const flag = { type: "boolean" };
const list = (items: Json) => ({ type: "array", items });

const SERVER_PATHS = {
  "/v2": {
    get: operation("About the server", "Server", object({ name: text, version: text, extensions: list(text) })),
  },
  "/v2/health/live": { get: operation("Whether the process works", "Server", object({ live: flag })) },
  "/v2/health/ready": { get: operation("Whether models are loaded and warm", "Server", object({ ready: flag })) },
  "/v2/models": { get: operation("Names of the models", "Server", object({ models: list(text) })) },
  "/v2/repository/index": {
    post: operation(
      "All versions of all models, and why some do not serve",
      "Server",
      list(object({ name: text, version: text, state: text, reason: text })),
      { content: json(object({ ready: flag }, []), { ready: false }) },
    ),
  },
};

function modelPaths({ name }: Servable, signature: Signature): Json {
  const encoded = encodeURIComponent(name);
  const [v1, v2] = [`/v1/models/${encoded}`, `/v2/models/${encoded}`];
  return {
    [`${v1}:predict`]: {
      post: operation("Predict (TensorFlow Serving)", name, predictAnswer(signature), predictRequest(signature)),
    },
    [v1]: {
      get: operation("States of the versions", name, object({ model_version_status: list({ type: "object" }) })),
    },
    [`${v1}/metadata`]: {
      get: operation("The signature, as TensorFlow Serving has it", name, object({ model_spec: { type: "object" } })),
    },
    [`${v2}/infer`]: {
      post: operation("Infer (Open Inference Protocol)", name, inferAnswer(signature), inferRequest(signature)),
    },
    [v2]: {
      get: operation(
        "The signature, as the Open Inference Protocol has it",
        name,
        object({ name: text, versions: list(text) }),
      ),
    },
    [`${v2}/ready`]: {
      get: operation("Whether the model is loaded and warm", name, object({ name: text, ready: flag })),
    },
  };
}

function predictRequest(signature: Signature): Json {
  const { inputs } = signature;
  const [only, ...more] = inputs;
  const single = only !== undefined && more.length === 0;
  const rows = inputs.map((spec) => ({ ...spec, shape: spec.shape.slice(1) }));
  const [row] = rows;
  const instance = single && row !== undefined ? tensorSchema(row) : object(named(rows, tensorSchema));
  const example = () => (single && row !== undefined ? tensorExample(row) : named(rows, tensorExample));
  const columns = single ? tensorSchema(only) : object(named(inputs, tensorSchema));
  const schema = {
    oneOf: [object({ instances: { ...list(instance), minItems: 1 } }), object({ inputs: columns })],
    properties: { signature_name: { const: "serving_default" } },
  };
  return {
    required: true,
    content: json(
      schema,
      exampleOf(signature, () => ({ instances: [example()] })),
    ),
  };
}

function predictAnswer({ outputs }: Signature): Json {
  const [only, ...more] = outputs;
  const single = only !== undefined && more.length === 0;
  const rows = outputs.map((spec) => ({ ...spec, shape: spec.shape.slice(1) }));
  const [row] = rows;
  const prediction = single && row !== undefined ? tensorSchema(row) : object(named(rows, tensorSchema));
  const columns = single ? tensorSchema(only) : object(named(outputs, tensorSchema));
  return { oneOf: [object({ predictions: list(prediction) }), object({ outputs: columns })] };
}

/** What would be too long to read is left to the schema. */
const MOST_EXAMPLE_ELEMENTS = 1000;

function exampleOf<T>({ inputs }: Signature, make: () => T): T | undefined {
  const total = inputs.reduce((sum, { shape }) => sum + elements(shape.map((size) => Math.max(1, size))), 0);
  return total > MOST_EXAMPLE_ELEMENTS ? undefined : make();
}

function named<T extends { readonly name: string }>(specs: readonly T[], value: (spec: T) => unknown): Json {
  return Object.fromEntries(specs.map((spec) => [spec.name, value(spec)]));
}

const PARAMETERS = { type: "object", additionalProperties: { type: ["string", "number", "boolean"] } };

function inferRequest(signature: Signature): Json {
  const { inputs, outputs } = signature;
  const input = inferTensor(inputs.map(({ name }) => name));
  const output = object({ name: { enum: outputs.map(({ name }) => name) }, parameters: PARAMETERS }, ["name"]);
  const schema = object({ id: text, parameters: PARAMETERS, inputs: list(input), outputs: list(output) }, ["inputs"]);
  const tensors = () =>
    inputs.map((spec) => ({
      name: spec.name,
      datatype: spec.datatype,
      shape: spec.shape.map((size) => (size === -1 ? 1 : size)),
      data: tensorExample(spec),
    }));
  return {
    required: true,
    content: json(
      schema,
      exampleOf(signature, () => ({ inputs: tensors() })),
    ),
  };
}

function inferAnswer({ outputs }: Signature): Json {
  const names = outputs.map(({ name }) => name);
  return object({ model_name: text, id: text, outputs: list(inferTensor(names)) }, ["model_name", "outputs"]);
}

function inferTensor(names: readonly string[]): Json {
  const shape = list({ type: "integer", minimum: 0 });
  return object({ name: { enum: names }, datatype: text, shape, data: ANY_TENSOR, parameters: PARAMETERS }, [
    "name",
    "datatype",
    "shape",
  ]);
}
