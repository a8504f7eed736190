"""Models that are in use, as Keras builds them, at any width: 50 or 12 layers deep they stay."""

import keras
import numpy as np
from keras import layers as L
from keras.src.applications import resnet


def resnet50(size, width, classes):
    """keras.applications.ResNet50, whose width cannot be chosen: 64 is its own."""

    def stacks(x):
        for stage, (factor, blocks) in enumerate(((1, 3), (2, 4), (4, 6), (8, 3))):
            x = resnet.stack_residual_blocks_v1(x, width * factor, blocks, stride1=1 if stage == 0 else 2, name=f"conv{stage + 2}")
        return x

    return resnet.ResNet(stacks, False, True, name="resnet50", weights=None, weights_name="resnet50", input_shape=(size, size, 3), classes=classes, classifier_activation=None)


def mobilenet_v2(size, alpha, classes):
    return keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3), alpha=alpha, classes=classes, classifier_activation=None)


def lstm(steps, vocabulary, width, units, classes):
    words = keras.Input((steps,), dtype="int32", name="words")
    x = L.Embedding(vocabulary, width)(words)
    x = L.LSTM(units)(L.LSTM(units, return_sequences=True)(x))
    return keras.Model(words, L.Dense(classes)(x), name="lstm")


def embedded(steps, vocabulary, width):
    """Inputs, and the sum of what is known of words and of their places."""
    ids = keras.Input((steps,), dtype="int32", name="ids")
    places = keras.Input((steps,), dtype="int32", name="places")
    return [ids, places], L.Add()([L.Embedding(vocabulary, width)(ids), L.Embedding(steps, width)(places)])


def bert(steps, vocabulary, width, heads=12, layers=12):
    """The encoder: normalized after each step."""
    inputs, x = embedded(steps, vocabulary, width)
    x = L.Dropout(0.1)(L.LayerNormalization(epsilon=1e-12)(x))
    for _ in range(layers):
        y = L.MultiHeadAttention(heads, width // heads, dropout=0.1)(x, x)
        x = L.LayerNormalization(epsilon=1e-12)(L.Add()([x, L.Dropout(0.1)(y)]))
        y = L.Dense(width)(L.Dense(4 * width, "gelu")(x))
        x = L.LayerNormalization(epsilon=1e-12)(L.Add()([x, L.Dropout(0.1)(y)]))
    return keras.Model(inputs, x, name="bert")


def gpt2(steps, vocabulary, width, heads=12, layers=12):
    """The decoder: normalized before each step, no word sees those after it; gives the logits of every next word."""
    inputs, x = embedded(steps, vocabulary, width)
    for _ in range(layers):
        y = L.LayerNormalization(epsilon=1e-5)(x)
        x = L.Add()([x, L.MultiHeadAttention(heads, width // heads)(y, y, use_causal_mask=True)])
        y = L.LayerNormalization(epsilon=1e-5)(x)
        x = L.Add()([x, L.Dense(width)(L.Dense(4 * width, "gelu")(y))])
    return keras.Model(inputs, L.Dense(vocabulary, use_bias=False)(L.LayerNormalization(epsilon=1e-5)(x)), name="gpt2")


# The numbers of the papers and of keras.applications; a vocabulary and a length for each.
FULL = {
    "resnet50": lambda: resnet50(224, 64, 1000),
    "mobilenet-v2": lambda: mobilenet_v2(224, 1.0, 1000),
    "lstm": lambda: lstm(80, 20000, 128, 256, 10),
    "bert-base": lambda: bert(128, 30522, 768),
    "gpt2": lambda: gpt2(128, 50257, 768),
}
# Convolutional networks of that depth are not among them: with random weights and few channels rounding alone puts Keras'
# answers in float32 8e-5 from those in float64, so that nothing could be compared to 1e-5.
NARROW = {
    "lstm": lambda: lstm(12, 40, 8, 12, 5),
    "bert-base": lambda: bert(6, 40, 24),
    "gpt2": lambda: gpt2(6, 40, 24),
}


def give_weights(model, random):
    """Random weights as large as training leaves them, in steps of 1/128 so that they can be packed."""
    for weight in model.weights:
        name, shape = weight.path.split("/")[-1], weight.shape
        if name in ("seed_generator_state",) or "moving" in name:
            continue
        if name in ("gamma", "beta", "bias"):
            value = random.normal(float(name == "gamma"), 0.1, shape)
        elif name == "embeddings":
            value = random.normal(0, 0.3, shape)
        else:
            value = np.asarray(weight)
        weight.assign(np.round(np.asarray(value) * 128) / 128)
    normalizations = [layer for layer in model.layers if isinstance(layer, L.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    if normalizations:
        model(random.normal(0, 1, (32, *model.input_shape[1:])).astype("float32"), training=True)
    for layer in normalizations:
        layer.momentum = 0.99


def inputs_for(model, random, rows):
    """Words of the vocabulary, places in their order, pictures of numbers about 0."""
    embeddings = [layer.input_dim for layer in model.layers if isinstance(layer, L.Embedding)]
    inputs = []
    for tensor in model.inputs:
        shape = (rows, *tensor.shape[1:])
        if tensor.name == "places":
            inputs.append(np.tile(np.arange(shape[1], dtype="int32"), (rows, 1)))
        elif "int" in str(tensor.dtype):
            inputs.append(random.integers(0, embeddings[0], shape).astype("int32"))
        else:
            inputs.append(random.normal(0, 1, shape).astype("float32"))
    return inputs
