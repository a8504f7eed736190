/** Operations between tensors, which Keras 3 writes into a functional model beside the layers. */
import { unsupported } from "../unsupported.ts";
import type { History, Serialized } from "./config.ts";
import type { Call } from "./graph.ts";
import type { Origin, TranslatedLayer } from "./layer-translation.ts";

const ARITHMETIC: Record<string, string> = {
  Add: "add",
  Subtract: "subtract",
  Multiply: "multiply",
  Divide: "divide",
  TrueDivide: "divide",
};

/** A layer of the graph and its calls. */
export interface Node {
  layer: Serialized;
  name: string;
  calls: Call[];
}

/** Operations have a name and what they were called with, but neither weights nor a datatype. */
export function isOperation({ config }: Serialized): boolean {
  return !("trainable" in config) && !("layers" in config) && !("dtype" in config);
}

/** Do they tell which steps count? Such masks are made anew by the layers that are the reason for them. */
export function makesMask({ layer }: Node): boolean {
  return isOperation(layer) && (layer.class_name === "NotEqual" || layer.class_name === "Any");
}

/** The layer for an operation. Throws Failure ModelUnsupported. */
export function translateOperation({ layer, name, calls }: Node, { shownAs }: Origin): TranslatedLayer {
  const operation = ARITHMETIC[layer.class_name];
  const [call] = calls;
  if (operation === undefined || call === undefined || call.inputs.length + call.constants.length !== 2) {
    throw unsupported(
      shownAs,
      `operation ${name} of class ${layer.class_name} is not supported; express it by layers, or serve the model as a tfjs graph model`,
    );
  }
  const [constant] = call.constants;
  return {
    class_name: "TensorOperation",
    config: { name, operation, constant: constant?.value ?? null, constant_first: constant?.position === 0 },
  };
}

const equal = (a: History | undefined, b: History | undefined) =>
  a !== undefined && b !== undefined && a.join() === b.join();

/** What marks the steps that do not count: the tensor, and the value that it has there. */
function markOf(
  mask: History,
  nodes: ReadonlyMap<string, Node>,
): { tensor: History; value: number; class_name: string } | undefined {
  const node = nodes.get(mask[0]);
  const [call] = node?.calls ?? [];
  const [input] = call?.inputs ?? [];
  if (node === undefined || call === undefined || input === undefined || !isOperation(node.layer)) return undefined;
  if (node.layer.class_name === "Any") {
    const inner = markOf(input, nodes);
    return inner === undefined ? undefined : { ...inner, class_name: "Masking" };
  }
  const [constant] = call.constants;
  if (node.layer.class_name !== "NotEqual" || constant === undefined) return undefined;
  return { tensor: input, value: constant.value, class_name: "Embedding" };
}

/**
 * Requires that a mask is the one that an Embedding or Masking layer of the model makes, which it makes here too.
 * Throws Failure ModelUnsupported for one that somebody computed.
 */
export function requireImpliedMask(
  user: string,
  mask: History,
  nodes: ReadonlyMap<string, Node>,
  { shownAs }: Origin,
): void {
  const mark = markOf(mask, nodes);
  const implied =
    mark !== undefined &&
    [...nodes.values()].some(({ layer, calls }) => {
      const { class_name: className, config } = layer;
      if (className !== mark.class_name || !calls.some(({ inputs }) => equal(inputs[0], mark.tensor))) return false;
      return className === "Embedding"
        ? config["mask_zero"] === true && mark.value === 0
        : config["mask_value"] === mark.value;
    });
  if (implied) return;
  throw unsupported(
    shownAs,
    `layer ${user} is called with a mask that no Embedding or Masking layer makes; only such masks are supported`,
  );
}
