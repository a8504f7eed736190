/** Recurrent layers, and layers that apply another to each step or in both directions. */
import type { layers } from "@tensorflow/tfjs";
import { z } from "zod";
import { add, multiply, select, subtract } from "../expressions/elementwise.ts";
import {
  concat,
  expandDims,
  reshape,
  reverse,
  slice,
  split,
  splitEvenly,
  squeeze,
  stack,
  transpose,
  unstack,
} from "../expressions/shaping.ts";
import { biasAdd, matMul } from "../expressions/linear.ts";
import type { Value } from "../graph.ts";
import { ActivationName, activate } from "./activation.ts";
import {
  type AnyLowering,
  type Call,
  NotExpressible,
  type Result,
  type TfLayer,
  inputOf,
  lowering,
  sizeAt,
} from "./definition.ts";
import { denseProduct } from "./core.ts";

type States = readonly Value[];

/** What makes one kind of recurrent layer differ. */
interface Cell {
  states: number;
  /** The part of all steps [batch, steps, in] that does not depend on states. */
  prepare(call: RecurrentCall, x: Value): Value;
  /** One step [batch, …] of what `prepare` gave; the output is the first of the new states. */
  step(call: RecurrentCall, x: Value, states: States): States;
  /** All steps at once, from states of zeros, where there is an operation for it: [steps, batch, units]. */
  whole?(call: RecurrentCall, x: Value): Value | undefined;
}

const CellSettings = z.object({
  units: z.int(),
  activation: ActivationName,
  recurrentActivation: ActivationName,
  useBias: z.boolean().default(true),
  dropout: z.literal(0).nullish(),
  recurrentDropout: z.literal(0).nullish(),
});

const Loop = z.object({
  returnSequences: z.boolean().nullish(),
  returnState: z.boolean().nullish(),
  goBackwards: z.boolean().nullish(),
  stateful: z.literal(false).nullish(),
});

type Settings = z.output<typeof CellSettings> & z.output<typeof Loop>;
type RecurrentCall = Call<Settings>;

function biased(call: RecurrentCall, x: Value): Value {
  return call.settings.useBias ? biasAdd(x, call.weight("bias")) : x;
}

/** The input's product with the kernel, for all steps at once. */
const projected = (call: RecurrentCall, x: Value) => biased(call, denseProduct(x, call.weight("kernel")));

const simple: Cell = {
  states: 1,
  prepare: projected,
  step: (call, x, [state]) => {
    const recurrent = state === undefined ? x : add(x, matMul(state, call.weight("recurrent_kernel")));
    return [activate(call.settings.activation, recurrent)];
  },
};

const lstm: Cell = {
  states: 2,
  prepare: projected,
  step: (call, x, [output, carry]) => {
    const { activation, recurrentActivation } = call.settings;
    const sums = output === undefined ? x : add(x, matMul(output, call.weight("recurrent_kernel")));
    const [input, forget, fresh, gate] = splitEvenly(sums, 4, -1);
    if (
      input === undefined ||
      forget === undefined ||
      fresh === undefined ||
      gate === undefined ||
      carry === undefined
    ) {
      throw new NotExpressible("it has other gates than an LSTM");
    }
    const kept = multiply(activate(recurrentActivation, forget), carry);
    const next = add(kept, multiply(activate(recurrentActivation, input), activate(activation, fresh)));
    return [multiply(activate(recurrentActivation, gate), activate(activation, next)), next];
  },
  whole: (call, x) => {
    const { activation, recurrentActivation, useBias, units } = call.settings;
    if (activation !== "tanh" || recurrentActivation !== "sigmoid") return undefined;
    const bias = useBias ? call.weight("bias") : call.graph.constant(new Float32Array(4 * units), [4 * units]);
    const shape = [sizeAt(x, 1), x.shape[0] ?? -1, units];
    const inputs = [transpose(x, [1, 0, 2]), call.weight("kernel"), call.weight("recurrent_kernel"), bias];
    const types = Array.from({ length: 7 }, () => ({ dtype: "float32" as const, shape }));
    return call.graph.add("lstm", inputs, {}, types)[0];
  },
};

/** The reset gate acts before the product with the recurrent kernel. */
const gru: Cell = {
  states: 1,
  prepare: projected,
  step: (call, x, [state]) => {
    const { units, activation, recurrentActivation } = call.settings;
    if (state === undefined) throw new NotExpressible("it has no state");
    const [gates, fresh] = split(x, [2 * units, units], -1);
    const [forGates, forFresh] = split(call.weight("recurrent_kernel"), [2 * units, units], -1);
    if (gates === undefined || fresh === undefined || forGates === undefined || forFresh === undefined) {
      throw new NotExpressible("it has other gates than a GRU");
    }
    const [update, reset] = splitEvenly(activate(recurrentActivation, add(gates, matMul(state, forGates))), 2, -1);
    if (update === undefined || reset === undefined) throw new NotExpressible("it has other gates than a GRU");
    const candidate = activate(activation, add(fresh, matMul(multiply(reset, state), forFresh)));
    return [add(candidate, multiply(update, subtract(state, candidate)))];
  },
};

/** The reset gate acts after the product with the recurrent kernel, as Keras has it. */
const gruResetAfter: Cell = {
  states: 1,
  prepare: (call, x) => {
    const product = denseProduct(x, call.weight("kernel"));
    return call.settings.useBias ? biasAdd(product, biasRow(call, 0)) : product;
  },
  step: (call, x, [state]) => {
    const { units, activation, recurrentActivation } = call.settings;
    if (state === undefined) throw new NotExpressible("it has no state");
    const product = matMul(state, call.weight("recurrent_kernel"));
    const recurrent = call.settings.useBias ? biasAdd(product, biasRow(call, 1)) : product;
    const [gatesX, freshX] = split(x, [2 * units, units], -1);
    const [gatesH, freshH] = split(recurrent, [2 * units, units], -1);
    if (gatesX === undefined || freshX === undefined || gatesH === undefined || freshH === undefined) {
      throw new NotExpressible("it has other gates than a GRU");
    }
    const [update, reset] = splitEvenly(activate(recurrentActivation, add(gatesX, gatesH)), 2, -1);
    if (update === undefined || reset === undefined) throw new NotExpressible("it has other gates than a GRU");
    const candidate = activate(activation, add(freshX, multiply(reset, freshH)));
    return [add(candidate, multiply(update, subtract(state, candidate)))];
  },
};

function biasRow(call: RecurrentCall, row: number): Value {
  return squeeze(slice(call.weight("bias"), [row, 0], [1, 3 * call.settings.units]), 0);
}

/** States of zeros, for as many rows as `x` has. */
function zeros(call: RecurrentCall, x: Value): Value {
  const first = slice(x, [0, 0, 0], [-1, 1, 1]);
  const column = multiply(reshape(first, [x.shape[0] ?? -1, 1]), 0);
  return add(column, call.graph.constant(new Float32Array(call.settings.units), [call.settings.units]));
}

interface Ran {
  /** Each step's output, in the order of computing. */
  outputs: readonly Value[];
  states: States;
}

/** Step by step. A step that does not count leaves output and states as they were. */
function run(cell: Cell, call: RecurrentCall, x: Value, initial: States, mask: Value | undefined): Ran {
  const backwards = call.settings.goBackwards === true;
  const steps = unstack(cell.prepare(call, x), 1);
  const counts = mask === undefined ? [] : unstack(expandDims(mask, -1), 1);
  const order = backwards ? steps.map((_, index) => steps.length - 1 - index) : steps.map((_, index) => index);
  let states = initial;
  const outputs: Value[] = [];
  for (const index of order) {
    const step = steps[index];
    if (step === undefined) continue;
    const next = cell.step(call, step, states);
    const count = counts[index];
    states = count === undefined ? next : next.map((value, at) => select(count, value, states[at] ?? value));
    const [output] = states;
    if (output !== undefined) outputs.push(output);
  }
  return { outputs, states };
}

function last(outputs: readonly Value[]): Value {
  const output = outputs.at(-1);
  if (output === undefined) throw new NotExpressible("it has no steps");
  return output;
}

function recur(cell: Cell, call: RecurrentCall): Result {
  const [x, ...given] = call.inputs;
  if (x === undefined) throw new NotExpressible("it has no input");
  const { returnSequences, returnState, goBackwards } = call.settings;
  const [mask] = call.masks;
  if (given.length === 0 && mask === undefined && returnState !== true) {
    const all = cell.whole?.(call, goBackwards === true ? reverse(x, 1) : x);
    if (all !== undefined) {
      if (returnSequences === true) return { outputs: [transpose(all, [1, 0, 2])] };
      const steps = sizeAt(all, 0);
      return { outputs: [squeeze(slice(all, [steps - 1, 0, 0], [1, -1, -1]), 0)] };
    }
  }
  const initial = given.length > 0 ? given : Array.from({ length: cell.states }, () => zeros(call, x));
  const ran = run(cell, call, x, initial, mask);
  const output = returnSequences === true ? stack(ran.outputs, 1) : last(ran.outputs);
  return {
    outputs: returnState === true ? [output, ...ran.states] : [output],
    mask: returnSequences === true ? mask : undefined,
  };
}

const recurrent = (cell: Cell): AnyLowering =>
  lowering({
    settings: z.intersection(CellSettings, Loop),
    lower: (call) => recur(cell, call),
  });

/** A layer that names its cell apart. */
const CELLS: Record<string, Cell> = { SimpleRNNCell: simple, LSTMCell: lstm, GRUCell: gru };

const generic = lowering({
  settings: Loop,
  lower: (call) => {
    const { cell } = call.layer as layers.RNN;
    const known = CELLS[cell.getClassName()];
    const settings = CellSettings.safeParse(cell.getConfig());
    if (known === undefined || !settings.success) {
      throw new NotExpressible(`the compiler lacks its cell of class ${cell.getClassName()}`);
    }
    return recur(known, { ...call, settings: { ...settings.data, ...call.settings } });
  },
});

interface Wrapper extends TfLayer {
  forwardLayer: TfLayer;
  backwardLayer: TfLayer;
}

const bidirectional = lowering({
  settings: z.object({ mergeMode: z.enum(["concat", "sum", "ave", "mul"]).nullish() }),
  lower: (call) => {
    // Its two layers are no part of its public type.
    const { forwardLayer, backwardLayer } = call.layer as Wrapper;
    if (call.inputs.length > 1) throw new NotExpressible("it is given its first states");
    const forward = call.inner(forwardLayer, call.inputs, call.masks);
    const backward = call.inner(backwardLayer, call.inputs, call.masks);
    const { mergeMode } = call.settings;
    const [ahead, ...states] = forward.outputs;
    const [back, ...backStates] = backward.outputs;
    if (ahead === undefined || back === undefined) throw new NotExpressible("it has no outputs");
    const turned = ahead.shape.length === 3 ? reverse(back, 1) : back;
    const merged = (() => {
      switch (mergeMode) {
        case "concat":
          return [concat([ahead, turned], -1)];
        case "sum":
          return [add(ahead, turned)];
        case "ave":
          return [multiply(add(ahead, turned), 0.5)];
        case "mul":
          return [multiply(ahead, turned)];
        default:
          return [ahead, turned];
      }
    })();
    return {
      outputs: [...merged, ...states, ...backStates],
      mask: ahead.shape.length === 3 ? call.masks[0] : undefined,
    };
  },
});

const timeDistributed = lowering({
  settings: z.object({}),
  lower: (call) => {
    const { layer } = call.layer as TfLayer & { layer: TfLayer };
    const x = inputOf(call);
    const steps = sizeAt(x, 1);
    if (call.training !== undefined && layer.nonTrainableWeights.length > 0) {
      throw new NotExpressible("the compiler lacks it in training around a layer that keeps statistics");
    }
    const { outputs } = call.inner(layer, [reshape(x, [-1, ...x.shape.slice(2)])], []);
    const [output] = outputs;
    if (output === undefined) throw new NotExpressible("it has no output");
    return { outputs: [reshape(output, [x.shape[0] ?? -1, steps, ...output.shape.slice(1)])], mask: call.masks[0] };
  },
});

export const recurrentLowerings: Record<string, AnyLowering> = {
  SimpleRNN: recurrent(simple),
  LSTM: recurrent(lstm),
  GRU: recurrent(gru),
  GRUResetAfter: recurrent(gruResetAfter),
  RNN: generic,
  Bidirectional: bidirectional,
  TimeDistributed: timeDistributed,
};
