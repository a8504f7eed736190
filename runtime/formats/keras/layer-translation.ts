/** One layer of Keras as a layer that tfjs, with those registered here, can build. */
import { unsupported } from "../unsupported.ts";
import type { Serialized, Settings } from "./config.ts";

export interface TranslatedLayer {
  class_name: string;
  config: Settings;
}

/** What is being translated, for messages, and the version of Keras that wrote it. */
export interface Origin {
  shownAs: string;
  major: number;
}

type Rule = (config: Settings, layer: string, origin: Origin) => TranslatedLayer;

/** Settings that matter only while Keras trains or builds. */
const DROPPED =
  /_(initializer|regularizer|constraint)$|^(seed|quantization_config|lora_alpha|zero_output_for_mask|unroll|optional|sparse|ragged|batch_shape|build_input_shape|backward_layer)$/;

const ACTIVATIONS: Record<string, string> = { silu: "swish", hard_swish: "hard_silu", exp: "exponential" };
const DTYPES: Record<string, string> = {
  float64: "float32",
  float16: "float32",
  bfloat16: "float32",
  mixed_float16: "float32",
  mixed_bfloat16: "float32",
  int64: "int32",
  int16: "int32",
  int8: "int32",
  uint8: "int32",
  uint16: "int32",
  uint32: "int32",
};

function refuse(layer: string, what: string, { shownAs }: Origin): never {
  throw unsupported(shownAs, `layer ${layer} ${what}`);
}

function activationOf(value: unknown, layer: string, origin: Origin): unknown {
  if (value === null || value === undefined) return "linear";
  if (typeof value === "object" && "class_name" in value) {
    if ("config" in value && typeof value.config === "string") return activationOf(value.config, layer, origin);
    return refuse(
      layer,
      `has the activation ${String(value.class_name)} as an object; use a layer of its own for it`,
      origin,
    );
  }
  if (typeof value !== "string") return refuse(layer, "has an activation that is no name", origin);
  if (value === "hard_sigmoid" && origin.major >= 3) return "hard_sigmoid_by_three";
  return ACTIVATIONS[value] ?? value;
}

function dtypeOf(value: unknown, layer: string, origin: Origin): string {
  const policy: unknown =
    typeof value === "object" &&
    value !== null &&
    "config" in value &&
    typeof value.config === "object" &&
    value.config !== null &&
    "name" in value.config
      ? value.config.name
      : (value ?? "float32");
  if (typeof policy !== "string") return refuse(layer, "has a dtype that is no name", origin);
  const dtype = DTYPES[policy] ?? policy;
  if (dtype === "float32" || dtype === "int32" || dtype === "bool") return dtype;
  return refuse(
    layer,
    `has dtype ${policy}, which is not supported; save the model with float32 weights and number inputs`,
    origin,
  );
}

/** Settings that every layer has, in the form of tfjs. */
function common(config: Settings, layer: string, origin: Origin): Settings {
  const entries = Object.entries(config).filter(([key]) => !DROPPED.test(key));
  const kept: Settings = Object.fromEntries(entries);
  for (const key of ["activation", "recurrent_activation"]) {
    if (key in kept) kept[key] = activationOf(kept[key], layer, origin);
  }
  return { ...kept, dtype: dtypeOf(config["dtype"], layer, origin) };
}

const allOnes = (value: unknown) =>
  value === undefined || value === 1 || (Array.isArray(value) && value.every((one) => one === 1));

/** Refuses settings that are not as if they were absent, which tfjs would ignore. */
function requireAbsent(config: Settings, keys: readonly string[], layer: string, origin: Origin): void {
  for (const key of keys) {
    const value = config[key];
    const absent = value === null || value === false || allOnes(value);
    if (!absent)
      refuse(layer, `sets ${key} to ${JSON.stringify(value)}, which is not supported; build it without`, origin);
  }
}

/** The same class in tfjs; `absent`: settings that must not be used. */
const same =
  (className: string, absent: readonly string[] = []): Rule =>
  (config, layer, origin) => {
    requireAbsent(config, absent, layer, origin);
    return { class_name: className, config: common(config, layer, origin) };
  };

/** tfjs' class, and ours when a setting asks for what tfjs' lacks. */
const either =
  (plain: string, ours: string, special: (config: Settings) => boolean): Rule =>
  (config, layer, origin) => ({ class_name: special(config) ? ours : plain, config: common(config, layer, origin) });

const grouped = (rank: number) =>
  either(`Conv${rank}D`, `GroupedConv${rank}D`, ({ groups, padding }) => (groups ?? 1) !== 1 || padding === "causal");

const pooled = (kind: string, rank: number) =>
  either(
    `Global${kind}Pooling${rank}D`,
    `Global${kind}Pool${rank}D`,
    (config) => rank === 3 || config["keepdims"] === true || (rank === 1 && kind === "Average"),
  );

const RECURRENT = ["stateful", "time_major"];

function recurrent(className: string): Rule {
  return (config, layer, origin) => {
    requireAbsent(config, RECURRENT, layer, origin);
    return { class_name: className, config: common(config, layer, origin) };
  };
}

const resetsAfter = (config: Settings, { major }: Origin) => config["reset_after"] ?? major >= 2;

function gruCell(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  const className = resetsAfter(config, origin) === true ? "GRUResetAfterCell" : "GRUCell";
  return { class_name: className, config: { ...common(config, layer, origin), reset_after: false } };
}

function gru(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  requireAbsent(config, RECURRENT, layer, origin);
  const className = resetsAfter(config, origin) === true ? "GRUResetAfter" : "GRU";
  return { class_name: className, config: { ...common(config, layer, origin), reset_after: false } };
}

/** A layer inside of another one. */
function inner(value: unknown, layer: string, origin: Origin): TranslatedLayer {
  if (typeof value !== "object" || value === null || !("class_name" in value) || !("config" in value)) {
    return refuse(layer, "wraps something that is no layer", origin);
  }
  // What the two checks above leave open is checked by the rules.
  return translateLayer(value as Serialized, origin);
}

function wrapper(className: string): Rule {
  return (config, layer, origin) => ({
    class_name: className,
    config: { ...common(config, layer, origin), layer: inner(config["layer"], layer, origin) },
  });
}

const DIRECTION = new Set(["name", "go_backwards", "dtype"]);

const strip = (value: unknown) =>
  JSON.stringify(value, (key, one: unknown) =>
    DIRECTION.has(key) || DROPPED.test(key) || /^(module|registered_name|build_config|shared_object_id)$/.test(key)
      ? undefined
      : one,
  );

/** Does the layer for the other direction differ only in its direction? */
function mirrors(forward: unknown, backward: unknown): boolean {
  if (backward === undefined || backward === null) return true;
  return strip(forward) === strip(backward);
}

function bidirectional(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  if (!mirrors(config["layer"], config["backward_layer"])) {
    refuse(layer, "has a backward_layer of its own, which is not supported; use one layer for both directions", origin);
  }
  return wrapper("Bidirectional")(config, layer, origin);
}

function rnn(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  requireAbsent(config, RECURRENT, layer, origin);
  return {
    class_name: "RNN",
    config: { ...common(config, layer, origin), cell: inner(config["cell"], layer, origin) },
  };
}

function stacked(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  const cells = Array.isArray(config["cells"]) ? config["cells"] : [];
  return {
    class_name: "StackedRNNCells",
    config: { name: layer, cells: cells.map((cell) => inner(cell, layer, origin)) },
  };
}

/** At answering time it is the layer that it wraps. */
function spectral(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  const wrapped = inner(config["layer"], layer, origin);
  return { class_name: wrapped.class_name, config: { ...wrapped.config, name: layer } };
}

function leakyRelu(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  const { negative_slope: slope, ...rest } = common(config, layer, origin);
  return { class_name: "LeakyReLU", config: { ...rest, alpha: slope ?? rest["alpha"] ?? 0.3 } };
}

function inputLayer(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  const shape = config["batch_shape"] ?? config["batch_input_shape"];
  if (config["sparse"] === true || config["ragged"] === true)
    refuse(layer, "takes sparse or ragged tensors; use dense ones", origin);
  return {
    class_name: "InputLayer",
    config: { ...common(config, layer, origin), batch_input_shape: shape, sparse: false },
  };
}

/** tfjs changes the case of texts when it saves: an equation is kept by small letters. */
function einsumDense(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  const equation = typeof config["equation"] === "string" ? config["equation"].replaceAll(" ", "") : "";
  const letters = [...new Set(equation.match(/[A-Za-z]/g) ?? [])];
  const rename = (text: unknown) =>
    typeof text === "string"
      ? text.replaceAll(/[A-Za-z]/g, (letter) => String.fromCodePoint(0x61 + Math.max(0, letters.indexOf(letter))))
      : text;
  requireAbsent(config, ["lora_rank"], layer, origin);
  return {
    class_name: "EinsumDense",
    config: { ...common(config, layer, origin), equation: rename(equation), bias_axes: rename(config["bias_axes"]) },
  };
}

const hasSlope = (config: Settings) => (config["negative_slope"] ?? 0) !== 0 || (config["threshold"] ?? 0) !== 0;

/** Does nothing when a model answers. */
const random: Rule = (config, layer, origin) => ({
  class_name: "Identity",
  config: { name: layer, trainable: config["trainable"] ?? true, dtype: dtypeOf(config["dtype"], layer, origin) },
});

const TRANSPOSED = ["output_padding", "dilation_rate", "groups"];

function batchNormalization(config: Settings, layer: string, origin: Origin): TranslatedLayer {
  requireAbsent(config, ["renorm"], layer, origin);
  const last = (config["axis"] ?? -1) === -1;
  return { class_name: last ? "BatchNormalization" : "AxisBatchNormalization", config: common(config, layer, origin) };
}

const RULES: Record<string, Rule> = {
  InputLayer: inputLayer,
  Dense: same("Dense", ["lora_rank", "quantization_config"]),
  EinsumDense: einsumDense,
  Embedding: same("Embedding", ["lora_rank", "quantization_config"]),
  Identity: same("Identity"),
  Masking: same("Masking"),
  Activation: same("Activation"),
  ReLU: either("ReLU", "SlopedReLU", hasSlope),
  LeakyReLU: leakyRelu,
  ELU: either("ELU", "ScaledELU", ({ alpha }) => (alpha ?? 1) !== 1),
  PReLU: same("PReLU"),
  Softmax: either("Softmax", "AxisSoftmax", ({ axis }) => (axis ?? -1) !== -1),
  Conv1D: grouped(1),
  Conv2D: grouped(2),
  Conv3D: grouped(3),
  Conv1DTranspose: same("Conv1DTranspose"),
  Conv2DTranspose: same("Conv2DTranspose", TRANSPOSED),
  Conv3DTranspose: same("Conv3DTranspose", TRANSPOSED),
  DepthwiseConv1D: same("DepthwiseConv1D"),
  DepthwiseConv2D: either("DepthwiseConv2D", "DilatedDepthwiseConv2D", ({ dilation_rate: rate }) => !allOnes(rate)),
  SeparableConv1D: same("SeparableConv1D"),
  SeparableConv2D: same("SeparableConv2D"),
  BatchNormalization: batchNormalization,
  LayerNormalization: same("LayerNormalization", ["rms_scaling"]),
  GroupNormalization: same("GroupNormalization"),
  UnitNormalization: same("UnitNormalization"),
  RMSNormalization: same("RMSNormalization"),
  SpectralNormalization: spectral,
  Normalization: same("Normalization"),
  Rescaling: same("Rescaling"),
  Dropout: same("Dropout"),
  SpatialDropout1D: same("SpatialDropout1D"),
  SpatialDropout2D: same("SpatialDropout2D"),
  SpatialDropout3D: same("SpatialDropout3D"),
  GaussianNoise: same("GaussianNoise"),
  GaussianDropout: same("GaussianDropout"),
  AlphaDropout: same("AlphaDropout"),
  ActivityRegularization: random,
  Cropping1D: same("Cropping1D"),
  Cropping2D: same("Cropping2D"),
  Cropping3D: same("Cropping3D"),
  ZeroPadding1D: same("ZeroPadding1D"),
  ZeroPadding2D: same("ZeroPadding2D"),
  ZeroPadding3D: same("ZeroPadding3D"),
  UpSampling1D: same("UpSampling1D"),
  UpSampling2D: either("UpSampling2D", "BilinearUpSampling2D", ({ interpolation }) => interpolation === "bilinear"),
  UpSampling3D: same("UpSampling3D"),
  Reshape: either("Reshape", "OpenReshape", ({ target_shape: shape }) => Array.isArray(shape) && shape.includes(-1)),
  Permute: same("Permute"),
  Flatten: same("Flatten"),
  RepeatVector: same("RepeatVector"),
  Resizing: same("CenteredResizing", ["crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"]),
  CenterCrop: same("ExactCenterCrop"),
  Add: same("Add"),
  Subtract: same("Subtract"),
  Multiply: same("Multiply"),
  Average: same("Average"),
  Maximum: same("Maximum"),
  Minimum: same("Minimum"),
  Concatenate: same("Concatenate"),
  Dot: same("Dot"),
  Attention: same("Attention"),
  AdditiveAttention: same("AdditiveAttention"),
  MultiHeadAttention: same("MultiHeadAttention"),
  GroupQueryAttention: same("GroupQueryAttention"),
  LSTM: recurrent("LSTM"),
  GRU: gru,
  SimpleRNN: recurrent("SimpleRNN"),
  ConvLSTM2D: recurrent("ConvLSTM2D"),
  RNN: rnn,
  StackedRNNCells: stacked,
  LSTMCell: same("LSTMCell"),
  GRUCell: gruCell,
  SimpleRNNCell: same("SimpleRNNCell"),
  Bidirectional: bidirectional,
  TimeDistributed: wrapper("TimeDistributed"),
};

for (const kind of ["Max", "Average"]) {
  for (const rank of [1, 2, 3]) {
    RULES[`${kind}Pooling${rank}D`] = same(`${kind}Pooling${rank}D`);
    RULES[`Global${kind}Pooling${rank}D`] = pooled(kind, rank);
  }
}
for (const augmentation of [
  "Brightness",
  "ColorJitter",
  "Contrast",
  "Erasing",
  "Flip",
  "GaussianBlur",
  "Grayscale",
  "Hue",
  "Invert",
  "Perspective",
  "Rotation",
  "Saturation",
  "Sharpness",
  "Shear",
  "Translation",
  "Zoom",
]) {
  RULES[`Random${augmentation}`] = random;
}

/** Classes of Keras layers that can be loaded. */
export const supportedLayers: readonly string[] = Object.keys(RULES);

const CODE = new Set([
  "Lambda",
  "TFOpLambda",
  "SlicingOpLambda",
  "TFSMLayer",
  "TorchModuleWrapper",
  "JaxLayer",
  "FlaxLayer",
]);

/** Throws Failure ModelUnsupported naming the layer, and what to do. */
export function translateLayer({ class_name: className, config }: Serialized, origin: Origin): TranslatedLayer {
  const { name } = config;
  const layer = typeof name === "string" ? name : className;
  const rule = Object.hasOwn(RULES, className) ? RULES[className] : undefined;
  if (rule !== undefined) return rule(config, layer, origin);
  const remedy = CODE.has(className)
    ? "holds code, which is never run; express it by layers"
    : "is not supported; replace it by supported layers, or serve the model as a tfjs graph model";
  return refuse(layer, `of class ${className} ${remedy}`, origin);
}
