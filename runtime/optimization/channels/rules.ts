/** What each kind of layer does with channels: the labels of its output, and where its weights depend on labels. */
import type { TfLayer } from "../walk.ts";
import type { Labels } from "./labels.ts";

/** A tensor as this analysis sees it. */
export interface Channels {
  /** Of the last axis; undefined: its size is open. */
  labels: number[] | undefined;
  /** Without the batch; null: open. */
  shape: (number | null)[];
}

/** A weight's axis, each of whose slices belongs to the channel of a label. */
export interface Site {
  weight: number;
  axis: number;
  labels: number[];
  /** What it says of a channel's importance: a kernel that makes it, or the scale of a batch normalization. */
  role?: "Maker" | "Scale";
}

/** Settings that say how many channels there are. */
export type Width = { field: string; labels: number[]; last?: boolean };

export interface Findings {
  outputs: number[];
  sites: Site[];
  widths: Width[];
}

export interface Context {
  layer: TfLayer;
  config: Readonly<Record<string, unknown>>;
  inputs: Channels[];
  outputShape: (number | null)[];
  labels: Labels;
}

/** Undefined: the rule does not hold for the layer as it is set, which is then left whole. */
type Rule = (context: Context) => Findings | undefined;

const passing: Rule = ({ inputs: [input] }) =>
  input?.labels === undefined ? undefined : { outputs: input.labels, sites: [], widths: [] };

const shapeOfWeight = ({ layer }: Context, index: number) => layer.weights[index]?.shape ?? [];

const normalizesChannels = (activation: unknown) => activation === "softmax" || activation === "logSoftmax";

/** A layer with a kernel [..., input, output] (or with these two changed round) and perhaps a bias. */
function weighted(field: string, inputFromEnd = 2, outputFromEnd = 1): Rule {
  return (context) => {
    const { inputs, config, labels } = context;
    const kernel = shapeOfWeight(context, 0);
    const [inputAxis, outputAxis] = [kernel.length - inputFromEnd, kernel.length - outputFromEnd];
    const input = inputs[0]?.labels;
    if (input === undefined || input.length !== kernel[inputAxis]) return undefined;
    const outputs = labels.fresh(kernel[outputAxis] ?? 0);
    if (normalizesChannels(config["activation"])) labels.pin(outputs);
    const sites: Site[] = [
      { weight: 0, axis: inputAxis, labels: input },
      { weight: 0, axis: outputAxis, labels: outputs, role: "Maker" },
    ];
    if (config["useBias"] !== false) sites.push({ weight: 1, axis: 0, labels: outputs });
    return { outputs, sites, widths: [{ field, labels: outputs }] };
  };
}

const repeatedEach = (labels: readonly number[], times: number) =>
  labels.flatMap((label) => Array.from({ length: times }, () => label));

const repeatedWhole = (labels: readonly number[], times: number) => Array.from({ length: times }, () => labels).flat();

/** Output c * multiplier + m is made of the input's channel c alone. */
const depthwise: Rule = (context) => {
  const { inputs, config, labels } = context;
  const kernel = shapeOfWeight(context, 0);
  const input = inputs[0]?.labels;
  const axis = kernel.length - 2;
  if (input === undefined || input.length !== kernel[axis]) return undefined;
  const outputs = repeatedEach(input, kernel.at(-1) ?? 1);
  if (normalizesChannels(config["activation"])) labels.pin(outputs);
  const sites: Site[] = [{ weight: 0, axis, labels: input }];
  if (config["useBias"] !== false) sites.push({ weight: 1, axis: 0, labels: outputs });
  return { outputs, sites, widths: [] };
};

const separable: Rule = (context) => {
  const { inputs, config, labels } = context;
  const [deep, point] = [shapeOfWeight(context, 0), shapeOfWeight(context, 1)];
  const input = inputs[0]?.labels;
  const [deepAxis, pointAxis] = [deep.length - 2, point.length - 2];
  if (input === undefined || input.length !== deep[deepAxis]) return undefined;
  const outputs = labels.fresh(point.at(-1) ?? 0);
  if (normalizesChannels(config["activation"])) labels.pin(outputs);
  const sites: Site[] = [
    { weight: 0, axis: deepAxis, labels: input },
    { weight: 1, axis: pointAxis, labels: repeatedEach(input, deep.at(-1) ?? 1) },
    { weight: 1, axis: pointAxis + 1, labels: outputs, role: "Maker" },
  ];
  if (config["useBias"] !== false) sites.push({ weight: 2, axis: 0, labels: outputs });
  return { outputs, sites, widths: [{ field: "filters", labels: outputs }] };
};

/** `gates` kernels side by side; what a unit remembers is fed back to all of them. */
function recurrent(gates: number): Rule {
  return (context) => {
    const { inputs, config, labels } = context;
    const [kernel, bias] = [shapeOfWeight(context, 0), shapeOfWeight(context, 2)];
    const input = inputs[0]?.labels;
    const plain = config["returnState"] !== true && config["stateful"] !== true && inputs.length === 1;
    if (!plain || input === undefined || input.length !== kernel[0]) return undefined;
    const units = labels.fresh((kernel[1] ?? 0) / gates);
    if (normalizesChannels(config["activation"])) labels.pin(units);
    const all = repeatedWhole(units, gates);
    const sites: Site[] = [
      { weight: 0, axis: 0, labels: input },
      { weight: 0, axis: 1, labels: all, role: "Maker" },
      { weight: 1, axis: 0, labels: units },
      { weight: 1, axis: 1, labels: all },
    ];
    if (config["useBias"] !== false) sites.push({ weight: 2, axis: bias.length - 1, labels: all });
    return { outputs: units, sites, widths: [{ field: "units", labels: units }] };
  };
}

const embedding: Rule = (context) => {
  const outputs = context.labels.fresh(shapeOfWeight(context, 0)[1] ?? 0);
  const sites: Site[] = [{ weight: 0, axis: 1, labels: outputs, role: "Maker" }];
  return { outputs, sites, widths: [{ field: "outputDim", labels: outputs }] };
};

const batchNormalization: Rule = (context) => {
  const { inputs, config, layer } = context;
  const [input] = inputs;
  const axis = [config["axis"] ?? -1].flat()[0];
  if (input?.labels === undefined || (axis !== -1 && axis !== input.shape.length)) return undefined;
  const { labels } = input;
  const scaled = config["scale"] !== false;
  const sites = layer.weights.map((_, weight): Site => {
    const site = { weight, axis: 0, labels };
    return scaled && weight === 0 ? { ...site, role: "Scale" } : site;
  });
  return { outputs: labels, sites, widths: [] };
};

const prelu: Rule = (context) => {
  const labels = context.inputs[0]?.labels;
  const alpha = shapeOfWeight(context, 0);
  if (labels === undefined) return undefined;
  const shared = alpha.at(-1) !== labels.length;
  const sites: Site[] = shared ? [] : [{ weight: 0, axis: alpha.length - 1, labels }];
  return { outputs: labels, sites, widths: [] };
};

const activation: Rule = (context) => (normalizesChannels(context.config["activation"]) ? undefined : passing(context));

/** What is computed of several tensors position by position. */
const merging: Rule = ({ inputs, labels }) => {
  const [first, ...others] = inputs.map((input) => input.labels);
  if (first === undefined || others.some((other) => other?.length !== first.length)) return undefined;
  for (const other of others) other?.forEach((label, index) => labels.union(first[index] ?? label, label));
  return { outputs: first, sites: [], widths: [] };
};

const concatenation: Rule = (context) => {
  const { inputs, config } = context;
  const rank = inputs[0]?.shape.length ?? 0;
  const axis = config["axis"] ?? -1;
  if (axis !== -1 && axis !== rank) return merging(context);
  const parts = inputs.map((input) => input.labels);
  if (parts.includes(undefined)) return undefined;
  return { outputs: parts.flatMap((part) => part ?? []), sites: [], widths: [] };
};

const sizes = (shape: readonly (number | null)[]) => (shape.includes(null) ? undefined : (shape as number[]));

/** Elements keep their order: element i belongs to channel i modulo the size of the last axis, before and after. */
const reshaping: Rule = ({ inputs: [input], outputShape, labels, layer }) => {
  const from = sizes(input?.shape ?? [null]);
  const to = sizes(outputShape);
  if (input?.labels === undefined || from === undefined || to === undefined) return undefined;
  const [before, after] = [input.labels.length, to.at(-1) ?? 1];
  const outputs: number[] = [];
  const count = from.reduce((product, size) => product * size, 1);
  for (let element = 0; element < count; element += 1) {
    const label = input.labels[element % before] ?? 0;
    if (element < after) outputs.push(label);
    else labels.union(outputs[element % after] ?? label, label);
  }
  const isReshape = layer.getClassName() === "Reshape";
  return { outputs, sites: [], widths: isReshape ? [{ field: "targetShape", labels: outputs, last: true }] : [] };
};

const named = (names: readonly string[], rule: Rule) => names.map((name): [string, Rule] => [name, rule]);

const ranks = (name: (rank: number) => string) => [1, 2, 3].map(name);

/** By class name in a topology. A layer that is not here is left whole, with all that it takes and gives. */
export const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...named(["Dense"], weighted("units")),
  ...named(
    ranks((rank) => `Conv${rank}D`),
    weighted("filters"),
  ),
  ...named(["Conv2DTranspose", "Conv3DTranspose"], weighted("filters", 1, 2)),
  ...named(["DepthwiseConv2D"], depthwise),
  ...named(["SeparableConv2D"], separable),
  ...named(["SimpleRNN"], recurrent(1)),
  ...named(["GRU"], recurrent(3)),
  ...named(["LSTM"], recurrent(4)),
  ...named(["Embedding"], embedding),
  ...named(["BatchNormalization"], batchNormalization),
  ...named(["PReLU"], prelu),
  ...named(["Activation"], activation),
  ...named(["Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"], merging),
  ...named(["Concatenate"], concatenation),
  ...named(["Flatten", "Reshape"], reshaping),
  ...named(
    [
      "ELU",
      "LeakyReLU",
      "ReLU",
      "ThresholdedReLU",
      "Identity",
      "AlphaDropout",
      "Dropout",
      "GaussianDropout",
      "GaussianNoise",
      "Rescaling",
      "RepeatVector",
      "Resizing",
      ...ranks((rank) => `AveragePooling${rank}D`),
      ...ranks((rank) => `MaxPooling${rank}D`),
      ...ranks((rank) => `SpatialDropout${rank}D`),
      ...ranks((rank) => `UpSampling${rank}D`),
      ...ranks((rank) => `ZeroPadding${rank}D`),
      ...ranks((rank) => `Cropping${rank}D`),
      "GlobalAveragePooling1D",
      "GlobalAveragePooling2D",
      "GlobalMaxPooling1D",
      "GlobalMaxPooling2D",
    ],
    passing,
  ),
]);
