/** Writes functions of a graph as a SavedModel with a signature for each; variables are set by a signature of their own. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type GraphFunction, type Node, type Shape, type TensorType, type Value, nodesFor } from "../graph.ts";
import { ProtobufWriter } from "../protobuf.ts";
import { DATATYPES, type Datatype, GraphDef, type Reference, shapeMessage } from "./graph-def.ts";
import { operations } from "./operations.ts";

/** A tensor of a signature. */
interface Endpoint {
  reference: Reference;
  dtype: Datatype;
  shape: Shape;
}

export interface Variable {
  name: string;
  dtype: Datatype;
  shape: Shape;
}

/** The tag under which the model is found. */
export const TAG = "serve";

function signatureMessage(inputs: Record<string, Endpoint>, outputs: Record<string, Endpoint>): ProtobufWriter {
  const message = new ProtobufWriter();
  const information = ({ reference, dtype, shape }: Endpoint) =>
    new ProtobufWriter()
      .string(1, reference.includes(":") ? reference : `${reference}:0`)
      .integer(2, DATATYPES[dtype])
      .message(3, shapeMessage(shape));
  for (const [name, endpoint] of Object.entries(inputs)) message.entry(1, name, information(endpoint));
  for (const [name, endpoint] of Object.entries(outputs)) message.entry(2, name, information(endpoint));
  return message.string(3, "tensorflow/serving/predict");
}

/** Nodes that a function is written as, once. */
interface Written {
  outputs: Record<string, Reference>;
  /** Nodes that change variables. */
  updates: string[];
}

export class SavedModelWriter {
  readonly #graph = new GraphDef();
  readonly #signatures = new Map<string, ProtobufWriter>();
  readonly #handles = new Map<string, Reference>();
  readonly #constants = new Map<Node, readonly Reference[]>();
  readonly #variables: readonly Variable[];

  constructor(variables: readonly Variable[]) {
    this.#variables = variables;
    for (const { name, dtype, shape } of variables) {
      const attributes = {
        dtype: { type: dtype },
        shape: { shape },
        shared_name: { text: name },
        container: { text: "" },
      };
      this.#handles.set(name, this.#graph.node("VarHandleOp", [], attributes, { name: "variable" }));
    }
  }

  /** Names of the signatures. */
  get signatures(): readonly string[] {
    return [...this.#signatures.keys()];
  }

  /** A signature that computes `called` once. */
  add(signature: string, called: GraphFunction): void {
    const inputs = called.inputs.map(({ name, value }) => ({ name, value, endpoint: this.#placeholder(value) }));
    const fed = new Map(inputs.map(({ value, endpoint }) => [value, endpoint.reference]));
    const { outputs, updates } = this.#write(called, fed, []);
    this.#sign(
      signature,
      Object.fromEntries(inputs.map(({ name, endpoint }) => [name, endpoint])),
      Object.fromEntries(
        called.outputs.map(({ name, value }) => [name, this.#result(outputs[name] ?? "", value, updates)]),
      ),
    );
  }

  /** Signatures `get`, which answers all variables, and `set`, which gives them values: by their place in the list. */
  addAccess(): void {
    const floats = this.#variables.filter(({ dtype }) => dtype === "float32");
    const read: Record<string, Endpoint> = {};
    const given: Record<string, Endpoint> = {};
    const assigned: string[] = [];
    for (const [index, variable] of floats.entries()) {
      const name = accessName(index);
      read[name] = { ...variable, reference: this.#read(variable.name, []) };
      const placeholder = this.#placeholder({ dtype: "float32", shape: variable.shape });
      given[name] = placeholder;
      assigned.push(this.#assign(variable.name, placeholder.reference, []));
    }
    this.#sign("get", {}, read);
    const count = this.#graph.constant(Float32Array.of(floats.length), "float32", []);
    this.#sign("set", given, { count: this.#result(count, { dtype: "float32", shape: [] }, assigned) });
  }

  /** Writes the folder. */
  async save(folder: string): Promise<void> {
    const information = new ProtobufWriter().string(4, TAG).string(5, "2.21.0");
    const meta = new ProtobufWriter().message(1, information).message(2, this.#graph.message());
    for (const [name, signature] of this.#signatures) meta.entry(5, name, signature);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "saved_model.pb"), new ProtobufWriter().integer(1, 1).message(2, meta).finish());
  }

  #sign(name: string, inputs: Record<string, Endpoint>, outputs: Record<string, Endpoint>): void {
    this.#signatures.set(name, signatureMessage(inputs, outputs));
  }

  #placeholder({ dtype, shape }: TensorType): Endpoint {
    const reference = this.#graph.node(
      "Placeholder",
      [],
      { dtype: { type: dtype }, shape: { shape } },
      { name: "input" },
    );
    return { reference, dtype, shape };
  }

  /** What a signature answers once `updates` are done. */
  #result(reference: Reference, { dtype, shape }: TensorType, updates: readonly string[]): Endpoint {
    const result = this.#graph.node(
      "Identity",
      [reference],
      { T: { type: dtype } },
      { name: "output", after: updates },
    );
    return { reference: result, dtype, shape };
  }

  #handle(name: string): Reference {
    const handle = this.#handles.get(name);
    if (handle === undefined) throw new RangeError(`there is no variable ${name}`);
    return handle;
  }

  #read(name: string, after: readonly string[]): Reference {
    const dtype = this.#variables.find((variable) => variable.name === name)?.dtype ?? "float32";
    return this.#graph.node(
      "ReadVariableOp",
      [this.#handle(name)],
      { dtype: { type: dtype } },
      { name: "read", after },
    );
  }

  #assign(name: string, value: Reference, after: readonly string[]): string {
    return this.#graph.node(
      "AssignVariableOp",
      [this.#handle(name), value],
      { dtype: { type: "float32" } },
      { name: "assign", after },
    );
  }

  /** Writes the nodes of a function whose inputs are `fed`, and which begins when `after` is done. */
  #write(called: GraphFunction, fed: ReadonlyMap<Value, Reference>, after: readonly string[]): Written {
    const values = [...called.outputs, ...called.updates].map(({ value }) => value);
    const known = new Map<Value, Reference>(fed);
    for (const node of nodesFor(values)) {
      const written = this.#node(node, known, after);
      node.outputs.forEach((output, index) => {
        const reference = written[index];
        if (reference !== undefined && !known.has(output)) known.set(output, reference);
      });
    }
    const reference = (value: Value): Reference => {
      const found = known.get(value);
      if (found === undefined) throw new RangeError(`${value.node.name} has not been written`);
      return found;
    };
    // Every new value is there before the first variable changes.
    const results = values.map((value) => reference(value).split(":")[0] ?? "");
    const barrier =
      called.updates.length === 0
        ? []
        : [this.#graph.node("NoOp", [], {}, { name: "computed", after: [...new Set(results)] })];
    return {
      outputs: Object.fromEntries(called.outputs.map(({ name, value }) => [name, reference(value)])),
      updates: called.updates.map(({ name, value }) => this.#assign(name, reference(value), barrier)),
    };
  }

  #node(node: Node, known: ReadonlyMap<Value, Reference>, after: readonly string[]): readonly Reference[] {
    if (node.operation === "input") return [];
    if (node.operation === "weight") return [this.#read(node.attributes.name, after)];
    const constant = this.#constants.get(node);
    if (constant !== undefined) return constant;
    const inputs = node.inputs.map((input) => {
      const reference = known.get(input);
      if (reference === undefined) throw new RangeError(`${node.name} comes before its input ${input.node.name}`);
      return reference;
    });
    // Each writer takes the nodes of its own operation.
    const write = operations[node.operation] as (
      to: GraphDef,
      node: Node,
      inputs: readonly Reference[],
    ) => Reference | readonly Reference[];
    const written = [write(this.#graph, node, inputs)].flat();
    if (node.operation === "constant") this.#constants.set(node, written);
    return written;
  }
}

/** Name of the variable at `index` in the signatures `get` and `set`. */
export const accessName = (index: number) => `v${index}`;
