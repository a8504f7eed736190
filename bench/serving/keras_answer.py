"""Keras' model as a function of TensorFlow's, traced once for any number of rows: the fastest way that TensorFlow's Python has."""

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf


def load(path):
    """A function of one array for each input, and the inputs' names."""
    model = keras.saving.load_model(path, compile=False)
    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    many = len(specs) > 1
    traced = tf.function(lambda *arrays: model(list(arrays) if many else arrays[0]), input_signature=specs).get_concrete_function()

    def answer(*arrays):
        return traced(*(tf.constant(np.asarray(array, spec.dtype.as_numpy_dtype)) for array, spec in zip(arrays, specs))).numpy()

    answer(*(np.zeros((1, *spec.shape[1:])) for spec in specs))
    return answer, [tensor.name for tensor in model.inputs]


def columns(instances, names):
    """Rows of `instances` as one list for each input."""
    if isinstance(instances[0], dict):
        return [[row[name] for row in instances] for name in names]
    return [instances]
