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

export interface Variable extends TensorType {
  name: string;
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
  readonly #signatures = new Map<string, { message: ProtobufWriter; inputs: readonly string[] }>();
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

  /** Names of the signatures, with those of their inputs. */
  get signatures(): readonly { name: string; inputs: readonly string[] }[] {
    return [...this.#signatures].map(([name, { inputs }]) => ({ name, inputs }));
  }

  /** A signature that computes `called` once. Inputs that `source` computes are not fed; those of `source` are. */
  add(signature: string, called: GraphFunction, source: GraphFunction = NOTHING): void {
    const given = inputsOf(called, source).map((input) => ({ ...input, endpoint: this.#placeholder(input.value) }));
    const fed = new Map(given.map(({ value, endpoint }) => [value, endpoint.reference]));
    const { outputs, updates } = this.#write(called, this.#sourced(called, source, fed), []);
    const results = called.outputs.map(({ name, value }): [string, Endpoint] => [
      name,
      this.#result(at(outputs, name), value, updates),
    ]);
    this.#sign(
      signature,
      Object.fromEntries(given.map(({ name, endpoint }) => [name, endpoint])),
      Object.fromEntries(results),
    );
  }

  /**
   * A signature that computes `called` several times, each with the variables that the one before left. Inputs and
   * outputs have a first dimension for the times.
   */
  addRepeated(signature: string, called: GraphFunction, times: number, source: GraphFunction = NOTHING): void {
    const given = inputsOf(called, source).map(({ name, value }) => {
      const endpoint = this.#placeholder({ dtype: value.dtype, shape: [times, ...value.shape] });
      const attributes = { T: { type: value.dtype }, num: { integer: times }, axis: { integer: 0 } };
      return { name, value, endpoint, parts: this.#graph.node("Unpack", [endpoint.reference], attributes) };
    });
    const results = new Map<string, Reference[]>(called.outputs.map(({ name }) => [name, []]));
    let after: readonly string[] = [];
    for (let time = 0; time < times; time += 1) {
      const fed = new Map(given.map(({ value, parts }) => [value, `${parts}:${time}`]));
      const { outputs, updates } = this.#write(called, this.#sourced(called, source, fed), after);
      for (const [name, list] of results) list.push(at(outputs, name));
      after = updates;
    }
    const packed = called.outputs.map(({ name, value }): [string, Endpoint] => {
      const attributes = { T: { type: value.dtype }, N: { integer: times }, axis: { integer: 0 } };
      const all = this.#graph.node("Pack", results.get(name) ?? [], attributes);
      return [name, this.#result(all, { dtype: value.dtype, shape: [times, ...value.shape] }, after)];
    });
    this.#sign(
      signature,
      Object.fromEntries(given.map(({ name, endpoint }) => [name, endpoint])),
      Object.fromEntries(packed),
    );
  }

  /** What is fed to `called`: besides `fed`, what `source` computes. */
  #sourced(called: GraphFunction, source: GraphFunction, fed: ReadonlyMap<Value, Reference>): Map<Value, Reference> {
    const { outputs } = this.#write(source, fed, []);
    const all = new Map(fed);
    for (const { name, value } of called.inputs) {
      const reference = outputs[name];
      if (reference !== undefined) all.set(value, reference);
    }
    return all;
  }

  /** Signatures `get`, which answers the variables, and `set`, which gives them values: by their place in the list. */
  addAccess(variables: readonly Variable[]): void {
    const read: Record<string, Endpoint> = {};
    const given: Record<string, Endpoint> = {};
    const assigned: string[] = [];
    for (const [index, variable] of variables.entries()) {
      const name = accessName(index);
      read[name] = { ...variable, reference: this.#read(variable.name, []) };
      const placeholder = this.#placeholder(variable);
      given[name] = placeholder;
      assigned.push(this.#assign(variable.name, placeholder.reference, []));
    }
    this.#sign("get", {}, read);
    const count = this.#graph.constant(Float32Array.of(variables.length), "float32", []);
    this.#sign("set", given, { count: this.#result(count, { dtype: "float32", shape: [] }, assigned) });
  }

  /** Writes the folder. */
  async save(folder: string): Promise<void> {
    const information = new ProtobufWriter().string(4, TAG).string(5, "2.21.0");
    const meta = new ProtobufWriter().message(1, information).message(2, this.#graph.message());
    for (const [name, { message }] of this.#signatures) meta.entry(5, name, message);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "saved_model.pb"), new ProtobufWriter().integer(1, 1).message(2, meta).finish());
  }

  #sign(name: string, inputs: Record<string, Endpoint>, outputs: Record<string, Endpoint>): void {
    this.#signatures.set(name, { message: signatureMessage(inputs, outputs), inputs: Object.keys(inputs) });
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
    const values = valuesOf(called);
    const known = new Map<Value, Reference>(fed);
    for (const node of nodesFor(values)) {
      if (node.operation === "adam") continue;
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
    return {
      outputs: Object.fromEntries(called.outputs.map(({ name, value }) => [name, reference(value)])),
      updates: this.#update(called, reference),
    };
  }

  /** Writes what changes variables, once all that is computed of their former values is there. */
  #update({ outputs, updates }: GraphFunction, reference: (value: Value) => Reference): string[] {
    if (updates.length === 0) return [];
    const needed = [...outputs, ...updates].flatMap(({ value }) =>
      value.node.operation === "adam" ? value.node.inputs.slice(3) : [value],
    );
    const computed = [...new Set(needed.map((value) => nodeName(reference(value))))];
    const barrier = [this.#graph.node("NoOp", [], {}, { name: "computed", after: computed })];
    return updates.flatMap(({ name, value }) => {
      if (value.node.operation !== "adam") return [this.#assign(name, reference(value), barrier)];
      // The first of its outputs stands for all three.
      return value.index === 0 ? [this.#adam(value.node, reference, barrier)] : [];
    });
  }

  #adam(
    node: Extract<Node, { operation: "adam" }>,
    reference: (value: Value) => Reference,
    after: readonly string[],
  ): string {
    const handles = node.inputs.slice(0, 3).map(({ node: source }) => {
      if (source.operation !== "weight") throw new RangeError(`${node.name} changes what is no variable`);
      return this.#handle(source.attributes.name);
    });
    const number = (value: number) => this.#graph.constant(Float32Array.of(value), "float32", []);
    const [gradient = "", size = ""] = node.inputs.slice(3).map(reference);
    const { beta1, beta2, epsilon } = node.attributes;
    // The step size has the bias correction in it: powers of zero leave it as it is.
    const numbers = [number(0), number(0), size, number(beta1), number(beta2), number(epsilon)];
    const attributes = { T: { type: "float32" }, use_locking: { flag: false }, use_nesterov: { flag: false } } as const;
    return this.#graph.node("ResourceApplyAdam", [...handles, ...numbers, gradient], attributes, { after });
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
    if (node.operation === "adam") return [];
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

const valuesOf = ({ outputs, updates }: GraphFunction) => [...outputs, ...updates].map(({ value }) => value);

const NOTHING: GraphFunction = { inputs: [], outputs: [], updates: [] };

/** The inputs that are fed: those of `source`, and those of `called` that it needs and `source` does not compute. */
function inputsOf(called: GraphFunction, source: GraphFunction): GraphFunction["inputs"] {
  const used = new Set(nodesFor(valuesOf(called)));
  const computed = new Set(source.outputs.map(({ name }) => name));
  return [...source.inputs, ...called.inputs.filter(({ name, value }) => !computed.has(name) && used.has(value.node))];
}

const nodeName = (reference: Reference) => reference.split(":")[0] ?? reference;

function at(references: Readonly<Record<string, Reference>>, name: string): Reference {
  const reference = references[name];
  if (reference === undefined) throw new RangeError(`there is no output ${name}`);
  return reference;
}

/** Name of the variable at `index` in the signatures `get` and `set`. */
export const accessName = (index: number) => `v${index}`;
