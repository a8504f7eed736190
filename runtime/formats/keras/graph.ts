/** The graph of a functional model: what flows from layer to layer, in the form of Keras 2 or 3. */
import { unsupported } from "../unsupported.ts";
import { type History, type Serialized, historyOf, tensorOf } from "./config.ts";
import type { Origin } from "./layer-translation.ts";

/** One call of a layer. */
export interface Call {
  inputs: History[];
  /** Tensors that Keras passes as masks. */
  masks: Map<string, History>;
  /** Arguments that are no tensors, in order. */
  constants: { value: number; position: number }[];
  useCausalMask: boolean;
  /** Does the layer do what it does while training, also when the model answers? */
  training: boolean;
}

type Arguments = Record<string, unknown>;

const TENSORS = ["inputs", "query", "value", "key", "initial_state", "x1", "x2"];
const MASKS = new Set(["mask", "query_mask", "value_mask", "key_mask"]);

/** All tensors in `value`, in order; dictionaries by their sorted keys, as Keras flattens them. */
function tensorsIn(value: unknown): History[] {
  const tensor = tensorOf(value);
  if (tensor !== undefined) return [tensor];
  if (Array.isArray(value)) return value.flatMap(tensorsIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value)
    .sort()
    .flatMap((key) => tensorsIn((value as Arguments)[key]));
}

function isAbsent(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    value === false ||
    (Array.isArray(value) && value.every((one) => one === null))
  );
}

/** Takes the named arguments into `call`. `tensors` reads the tensors of one. */
function takeNamed(
  call: Call,
  named: Arguments,
  tensors: (value: unknown) => History[],
  layer: string,
  origin: Origin,
): void {
  for (const key of TENSORS) call.inputs.push(...tensors(named[key]));
  for (const [key, value] of Object.entries(named)) {
    if (TENSORS.includes(key) || isAbsent(value)) continue;
    const [mask] = MASKS.has(key) ? tensors(value) : [];
    if (mask !== undefined) call.masks.set(key, mask);
    else if (key === "training") call.training = true;
    else if (key === "use_causal_mask" && value === true) call.useCausalMask = true;
    else
      throw unsupported(
        origin.shownAs,
        `layer ${layer} is called with ${key}, which is not supported; build the model without`,
      );
  }
}

const emptyCall = (): Call => ({ inputs: [], masks: new Map(), constants: [], useCausalMask: false, training: false });

function callOfKeras3(args: unknown[], kwargs: Arguments, layer: string, origin: Origin): Call {
  const call = emptyCall();
  args.forEach((value, position) => {
    const found = tensorsIn(value);
    call.inputs.push(...found);
    if (typeof value === "number") call.constants.push({ value, position });
    else if (found.length === 0 && !isAbsent(value)) {
      throw unsupported(
        origin.shownAs,
        `layer ${layer} is called with ${JSON.stringify(value).slice(0, 80)}, which is not supported`,
      );
    }
  });
  takeNamed(call, kwargs, tensorsIn, layer, origin);
  return call;
}

function callOfKeras2(node: unknown[], layer: string, origin: Origin): Call {
  const call = emptyCall();
  const entries = historyOf(node) === undefined ? node : [node];
  for (const entry of entries) {
    const input = historyOf(entry);
    if (input === undefined)
      throw unsupported(origin.shownAs, `layer ${layer} has an input that is no tensor of the model`);
    call.inputs.push(input);
    const named: unknown = Array.isArray(entry) ? entry[3] : undefined;
    const histories = (value: unknown): History[] => {
      const one = historyOf(value);
      if (one !== undefined) return [one];
      return Array.isArray(value) ? value.flatMap(histories) : [];
    };
    if (typeof named === "object" && named !== null) takeNamed(call, named as Arguments, histories, layer, origin);
  }
  return call;
}

/** The calls of `layer`, in order. Throws Failure ModelUnsupported. */
export function callsOf({ inbound_nodes: nodes = [] }: Serialized, layer: string, origin: Origin): Call[] {
  return nodes.map((node) => {
    if (Array.isArray(node)) return callOfKeras2(node, layer, origin);
    if (typeof node === "object" && node !== null && "args" in node && Array.isArray(node.args)) {
      const kwargs = "kwargs" in node && typeof node.kwargs === "object" && node.kwargs !== null ? node.kwargs : {};
      return callOfKeras3(node.args, kwargs as Arguments, layer, origin);
    }
    throw unsupported(origin.shownAs, `layer ${layer} has a call that cannot be read; save the model again`);
  });
}
