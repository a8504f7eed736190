"""Makes the corpus with Keras: tiny models, each with inputs and the outputs that Keras gives.

    python3 -m venv VENV && VENV/bin/pip install -r test/corpus/requirements.txt
    VENV/bin/python test/corpus/make.py [NAME...]

Writes keras/NAME.keras.gz, keras/NAME.h5.gz and keras/NAME.json.gz beside this file, and the list keras/index.json.
"""

import gzip
import json
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as L

import architectures
from packing import packed

FOLDER = pathlib.Path(__file__).parent / "keras"
ROWS = 2


class Case:
    """A model, in which formats it is saved, how it gets weights, and what it is asked."""

    def __init__(self, build, formats, below, weights=None, inputs=None):
        self.build, self.formats = build, formats
        self.weights = weights or (lambda model, random: randomize(model, random))
        self.inputs = inputs or (lambda model, random: some_inputs(model, random, below))


CASES = {}


def case(name, formats=("keras", "h5"), below=5):
    def register(build):
        CASES[name] = Case(build, formats, below)
        return build

    return register


def chain(name, shape, *make, formats=("keras",), dtype="float32", below=5):
    """A functional model of layers that follow each other. `make` are functions, so that each build has new layers."""

    def build():
        x = inputs = keras.Input(shape, dtype=dtype, name="x")
        for one in make:
            x = one()(x)
        return keras.Model(inputs, x)

    CASES[name] = Case(build, formats, below)


def merge(name, make, *shapes, formats=("keras",)):
    """A functional model of one layer with several inputs."""

    def build():
        inputs = [keras.Input(shape, name=f"x{index}") for index, shape in enumerate(shapes)]
        return keras.Model(inputs, make()(inputs))

    CASES[name] = Case(build, formats, 5)


BOTH = ("keras", "h5")

# Core
chain("dense", (5,), lambda: L.Dense(4, "relu"), lambda: L.Dense(3, use_bias=False), formats=BOTH)
chain("einsum-dense", (3, 4), lambda: L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", activation="tanh"))
chain("einsum-dense-heads", (3, 4), lambda: L.EinsumDense("abC,CDe->abDe", (None, 2, 3), bias_axes="De"))
chain("embedding", (4,), lambda: L.Embedding(6, 3), dtype="int32", below=6, formats=BOTH)
chain("identity", (3,), lambda: L.Identity(), lambda: L.Dense(2))
chain("masking", (4, 3), lambda: L.Masking(0.0), lambda: L.LSTM(3), formats=BOTH)
chain("embedding-mask", (5,), lambda: L.Embedding(4, 3, mask_zero=True), lambda: L.GRU(3), dtype="int32", below=4, formats=BOTH)
chain("embedding-mask-pooling", (5,), lambda: L.Embedding(4, 3, mask_zero=True), lambda: L.GlobalAveragePooling1D(), dtype="int32", below=4)
chain("embedding-mask-sequence", (5,), lambda: L.Embedding(4, 3, mask_zero=True), lambda: L.LSTM(3, return_sequences=True), lambda: L.Dense(2), dtype="int32", below=4)

ACTIVATIONS = (
    "linear relu relu6 elu selu celu sigmoid hard_sigmoid silu hard_silu gelu softplus softsign tanh hard_tanh "
    "tanh_shrink soft_shrink hard_shrink sparse_plus squareplus softmax log_softmax log_sigmoid exponential "
    "leaky_relu mish sparse_sigmoid sparsemax"
).split()


@case("activations")
def activations():
    x = keras.Input((6,), name="x")
    return keras.Model(x, [L.Activation(one, name=f"a_{one}")(x) for one in ACTIVATIONS])


@case("activations-of-layers")
def activations_of_layers():
    x = keras.Input((6,), name="x")
    outputs = [L.Dense(3, activation=one, name=f"d_{one}")(x) for one in ("gelu", "silu", "mish", "hard_sigmoid", "leaky_relu")]
    return keras.Model(x, outputs)


chain("relu", (5,), lambda: L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2), formats=BOTH)
chain("leaky-relu", (5,), lambda: L.LeakyReLU(negative_slope=0.2), formats=BOTH)
chain("elu", (5,), lambda: L.ELU(alpha=0.7))
chain("prelu", (4, 5), lambda: L.PReLU(shared_axes=[1]), formats=BOTH)
chain("softmax", (3, 5), lambda: L.Softmax(axis=1), lambda: L.Softmax())

# Convolutions
chain("conv1d", (9, 4), lambda: L.Conv1D(3, 3, strides=2, padding="same", activation="relu"), lambda: L.Conv1D(2, 2), formats=BOTH)
chain("conv1d-causal", (9, 4), lambda: L.Conv1D(3, 3, dilation_rate=2, padding="causal"), formats=BOTH)
chain("conv1d-groups", (9, 4), lambda: L.Conv1D(6, 3, groups=2, padding="same"))
chain("conv2d", (8, 7, 3), lambda: L.Conv2D(4, 3, strides=2, padding="same", activation="relu"), lambda: L.Conv2D(2, (2, 1)), formats=BOTH)
chain("conv2d-dilated", (8, 8, 2), lambda: L.Conv2D(3, 3, dilation_rate=2))
chain("conv2d-groups", (7, 7, 4), lambda: L.Conv2D(6, 3, groups=2, strides=2, padding="same", activation="gelu"), formats=BOTH)
chain("conv3d", (5, 5, 4, 2), lambda: L.Conv3D(3, 2, padding="same", activation="relu"), lambda: L.Conv3D(2, 2, strides=2))
chain("conv1d-transpose", (5, 3), lambda: L.Conv1DTranspose(4, 3, strides=2, padding="same", activation="relu"), lambda: L.Conv1DTranspose(2, 2))
chain("conv2d-transpose", (4, 5, 3), lambda: L.Conv2DTranspose(2, 3, strides=2, padding="same"), lambda: L.Conv2DTranspose(2, 2), formats=BOTH)
chain("conv3d-transpose", (3, 3, 3, 2), lambda: L.Conv3DTranspose(2, 2, strides=2, padding="same"))
chain("depthwise-conv1d", (8, 3), lambda: L.DepthwiseConv1D(3, strides=2, depth_multiplier=2, padding="same", activation="relu"))
chain("depthwise-conv2d", (7, 7, 3), lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"), formats=BOTH)
chain("depthwise-conv2d-dilated", (9, 9, 2), lambda: L.DepthwiseConv2D(3, dilation_rate=2, padding="same"))
chain("separable-conv1d", (8, 3), lambda: L.SeparableConv1D(4, 3, depth_multiplier=2, padding="same", activation="relu"))
chain("separable-conv2d", (7, 7, 3), lambda: L.SeparableConv2D(4, 3, depth_multiplier=2, strides=2, padding="same"), formats=BOTH)

# Pooling
for rank in (1, 2, 3):
    size = (6,) * rank + (2,)
    for kind in ("Max", "Average"):
        name = "max" if kind == "Max" else "average"
        pool, whole = getattr(L, f"{kind}Pooling{rank}D"), getattr(L, f"Global{kind}Pooling{rank}D")
        chain(f"{name}-pooling{rank}d", size, lambda pool=pool: pool(2), lambda pool=pool: pool(2, strides=1, padding="same"))
        chain(f"global-{name}-pooling{rank}d", size, lambda whole=whole: whole(), lambda: L.Dense(2))
chain("global-pooling-keepdims", (4, 4, 3), lambda: L.GlobalAveragePooling2D(keepdims=True), lambda: L.Conv2D(2, 1))

# Normalization
chain("batch-normalization", (4, 3), lambda: L.BatchNormalization(epsilon=0.01), formats=BOTH)
chain("batch-normalization-plain", (4, 3), lambda: L.BatchNormalization(axis=1, scale=False, center=False))
chain("layer-normalization", (4, 6), lambda: L.LayerNormalization(epsilon=1e-6), formats=BOTH)
chain("group-normalization", (4, 4, 6), lambda: L.GroupNormalization(groups=3), lambda: L.GroupNormalization(groups=-1, scale=False))
chain("unit-normalization", (4, 5), lambda: L.UnitNormalization())
chain("rms-normalization", (4, 6), lambda: L.RMSNormalization(epsilon=1e-6))
chain("spectral-normalization", (5,), lambda: L.SpectralNormalization(L.Dense(3)))
chain("rescaling", (3, 3, 2), lambda: L.Rescaling(1 / 127.5, offset=-1.0), formats=BOTH)


@case("normalization")
def normalization():
    x = keras.Input((3,), name="x")
    learned = L.Normalization()
    learned.adapt(np.random.default_rng(5).normal(2, 3, (50, 3)).astype("float32"))
    given = L.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 1.0, 0.25])
    return keras.Model(x, [learned(x), given(x), L.Normalization(mean=1.0, variance=4.0, invert=True, axis=None)(x)])


# Regularization
chain("dropouts", (4, 3), lambda: L.Dropout(0.5), lambda: L.SpatialDropout1D(0.5), lambda: L.GaussianNoise(0.5), lambda: L.GaussianDropout(0.5), lambda: L.AlphaDropout(0.5), lambda: L.ActivityRegularization(0.1), lambda: L.Dense(2), formats=BOTH)
chain("spatial-dropout2d", (4, 4, 2), lambda: L.SpatialDropout2D(0.5), lambda: L.Conv2D(2, 2))
chain("spatial-dropout3d", (3, 3, 3, 2), lambda: L.SpatialDropout3D(0.5), lambda: L.Conv3D(2, 2))

# Shapes
chain("cropping1d", (7, 2), lambda: L.Cropping1D((1, 2)))
chain("cropping2d", (7, 6, 2), lambda: L.Cropping2D(((1, 2), (0, 1))), formats=BOTH)
chain("cropping3d", (5, 6, 7, 2), lambda: L.Cropping3D(((1, 1), (0, 2), (2, 1))))
chain("zero-padding1d", (4, 2), lambda: L.ZeroPadding1D((1, 2)))
chain("zero-padding2d", (4, 3, 2), lambda: L.ZeroPadding2D(((1, 2), (0, 1))), formats=BOTH)
chain("zero-padding3d", (2, 3, 2, 2), lambda: L.ZeroPadding3D(((1, 0), (0, 2), (1, 1))))
chain("up-sampling1d", (4, 2), lambda: L.UpSampling1D(3))
chain("up-sampling2d", (3, 4, 2), lambda: L.UpSampling2D((2, 3)), lambda: L.UpSampling2D(2, interpolation="bilinear"), formats=BOTH)
chain("up-sampling3d", (2, 3, 2, 2), lambda: L.UpSampling3D((2, 1, 3)))
chain("shapes", (4, 6), lambda: L.Reshape((3, -1)), lambda: L.Permute((2, 1)), lambda: L.Flatten(), lambda: L.RepeatVector(2), lambda: L.Dense(2), formats=BOTH)
chain("flatten-channels-first", (3, 4), lambda: L.Flatten(data_format="channels_first"))
chain("resizing", (4, 5, 2), lambda: L.Resizing(6, 3))
chain("center-crop", (6, 7, 2), lambda: L.CenterCrop(4, 3))

# Merging
for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"):
    merge(kind.lower(), lambda kind=kind: getattr(L, kind)(), (3, 4), (3, 4))
merge("concatenate", lambda: L.Concatenate(axis=1), (2, 4), (3, 4), formats=BOTH)
merge("dot", lambda: L.Dot(axes=2), (3, 4), (2, 4))
merge("dot-normalized", lambda: L.Dot(axes=1, normalize=True), (4,), (4,))

# Attention
merge("attention", lambda: L.Attention(use_scale=True), (3, 4), (5, 4))
merge("attention-concat", lambda: L.Attention(score_mode="concat", use_scale=True), (3, 4), (5, 4))
merge("additive-attention", lambda: L.AdditiveAttention(), (3, 4), (5, 4), (5, 4))


@case("multi-head-attention")
def multi_head_attention():
    x = keras.Input((4, 6), name="x")
    context = keras.Input((3, 5), name="context")
    own = L.MultiHeadAttention(2, 3, name="own")(x, x, use_causal_mask=True)
    cross = L.MultiHeadAttention(2, 3, value_dim=2, output_shape=4, use_bias=False, name="cross")(own, context)
    return keras.Model([x, context], cross)


@case("group-query-attention", formats=("keras",))
def group_query_attention():
    x = keras.Input((4, 6), name="x")
    return keras.Model(x, L.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)(x, x))


# Recurrent
chain("lstm", (4, 3), lambda: L.LSTM(4, return_sequences=True), lambda: L.LSTM(3, go_backwards=True), formats=BOTH)
chain("lstm-plain", (4, 3), lambda: L.LSTM(4, use_bias=False, activation="relu", recurrent_activation="hard_sigmoid", unroll=True))
chain("gru", (4, 3), lambda: L.GRU(4, return_sequences=True), lambda: L.GRU(3, go_backwards=True), formats=BOTH)
chain("gru-reset-before", (4, 3), lambda: L.GRU(4, reset_after=False), formats=BOTH)
chain("gru-without-bias", (4, 3), lambda: L.GRU(4, use_bias=False))
chain("simple-rnn", (4, 3), lambda: L.SimpleRNN(4, return_sequences=True), lambda: L.SimpleRNN(3), formats=BOTH)
chain("bidirectional-lstm", (4, 3), lambda: L.Bidirectional(L.LSTM(3, return_sequences=True)), lambda: L.Bidirectional(L.LSTM(2), merge_mode="sum"), formats=BOTH)
chain("bidirectional-gru", (4, 3), lambda: L.Bidirectional(L.GRU(3), merge_mode="ave"), formats=BOTH)
chain("stacked-cells", (4, 3), lambda: L.RNN([L.LSTMCell(4), L.GRUCell(3), L.SimpleRNNCell(2)]))
chain("time-distributed", (3, 4), lambda: L.TimeDistributed(L.Dense(2, "relu")), formats=BOTH)
chain("time-distributed-convolution", (3, 5, 5, 2), lambda: L.TimeDistributed(L.Conv2D(2, 3)), lambda: L.TimeDistributed(L.Flatten()))
chain("conv-lstm2d", (3, 5, 5, 2), lambda: L.ConvLSTM2D(3, 3, padding="same"))


@case("lstm-state")
def lstm_state():
    x = keras.Input((4, 3), name="x")
    y = keras.Input((2, 3), name="y")
    _, h, c = L.LSTM(4, return_state=True, name="encoder")(x)
    return keras.Model([x, y], L.LSTM(4, return_sequences=True, name="decoder")(y, initial_state=[h, c]))


# Whole models
@case("sequential")
def sequential():
    return keras.Sequential([keras.Input((6, 6, 1)), L.Conv2D(3, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dropout(0.2), L.Dense(3, "softmax")])


@case("nested")
def nested():
    def encoder(name):
        a = keras.Input((4,), name="inner")
        return keras.Model(a, L.BatchNormalization(name="bn")(L.Dense(3, "relu", name="dense")(a)), name=name)

    x = keras.Input((4,), name="x")
    head = keras.Sequential([keras.Input((6,)), L.Dense(2, name="dense"), keras.Sequential([keras.Input((2,)), L.Dense(2, name="dense")], name="deep")], name="head")
    return keras.Model(x, head(L.Concatenate()([encoder("left")(x), encoder("right")(x)])))


@case("shared-layer")
def shared_layer():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = L.Dense(3, name="shared")
    return keras.Model([a, b], {"sum": L.Add(name="sum")([shared(a), shared(b)]), "first": L.Dense(2, name="first")(shared(a))})


@case("frozen")
def frozen():
    x = keras.Input((4,), name="x")
    base = keras.Sequential([keras.Input((4,)), L.Dense(4, name="d"), L.BatchNormalization(name="b"), L.Dense(3, name="e")], name="base")
    base.layers[0].trainable = False
    model = keras.Model(x, L.Dense(2, name="out")(base(x)))
    model.compile("adam", "mse")
    return model


@case("arithmetic", formats=("keras",))
def arithmetic():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    return keras.Model([a, b], (a + b) * 0.5 - a / 4.0 + (1.0 - b))


@case("residual")
def residual():
    x = keras.Input((6, 6, 3), name="x")
    y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same", use_bias=False)(x))
    y = L.Add()([L.Activation("relu")(y), L.Conv2D(4, 1)(x)])
    return keras.Model(x, L.Dense(2, "softmax")(L.GlobalAveragePooling2D()(y)))


@case("transformer", below=8)
def transformer():
    ids = keras.Input((5,), dtype="int32", name="ids")
    x = L.Embedding(8, 6)(ids)
    y = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(2, 3)(x, x)]))
    z = L.Dense(6)(L.Dense(8, "gelu")(y))
    return keras.Model(ids, L.Dense(3, "softmax")(L.GlobalAveragePooling1D()(L.LayerNormalization()(L.Add()([y, z])))))


for name, build in architectures.NARROW.items():
    CASES[f"narrow-{name}"] = Case(build, ("keras",), None, architectures.give_weights, lambda model, random: architectures.inputs_for(model, random, ROWS))


def randomize(model, random):
    """Values that no initializer gives, so that no weight can be mistaken for another."""
    for weight in model.weights:
        if "norm" in weight.path and weight.name in ("mean", "variance", "count"):
            continue
        value = random.normal(0, 0.5, weight.shape)
        weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)


def some_inputs(model, random, below):
    """Integers are smaller than `below`."""
    inputs = []
    for tensor in model.inputs:
        shape = (ROWS, *tensor.shape[1:])
        whole = "int" in str(tensor.dtype)
        inputs.append(random.integers(0, below, shape).astype("int32") if whole else random.normal(0, 1.5, shape).astype("float32"))
    return inputs


def compress(path, data):
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def make(name, spec):
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    random = np.random.default_rng(list(name.encode()))
    model = spec.build()
    spec.weights(model, random)
    inputs = spec.inputs(model, random)
    if name == "masking":
        inputs[0][:, 2:] = 0
    answer = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    # A dictionary of outputs is a list in the order of its keys, which is that of the model's outputs.
    outputs = keras.tree.flatten(answer)
    compress(FOLDER / f"{name}.json.gz", json.dumps({"inputs": [packed(one) for one in inputs], "outputs": [packed(one) for one in outputs]}).encode())
    with tempfile.TemporaryDirectory() as folder:
        for suffix in spec.formats:
            path = pathlib.Path(folder) / f"model.{suffix}"
            model.save(path)
            compress(FOLDER / f"{name}.{suffix}.gz", path.read_bytes())
    kinds = sorted({type(layer).__name__ for layer in model._flatten_layers(include_self=False)})
    return {"name": name, "formats": list(spec.formats), "layers": kinds}


def main(names):
    FOLDER.mkdir(exist_ok=True)
    index = FOLDER / "index.json"
    known = {entry["name"]: entry for entry in json.loads(index.read_text())["models"]} if names and index.exists() else {}
    for name in names or CASES:
        known[name] = make(name, CASES[name])
        print(name, flush=True)
    models = [known[name] for name in CASES if name in known]
    index.write_text(json.dumps({"keras": keras.__version__, "models": models}, indent=1) + "\n")


main(sys.argv[1:])
