"""Makes small SavedModels with TensorFlow, for the tests: half_plus_two of TensorFlow Serving's documentation, and one with other datatypes.

    VENV/bin/python test/corpus/saved_models.py
"""

import os
import pathlib
import shutil

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

FOLDER = pathlib.Path(__file__).parent / "saved-models"


class HalfPlus(tf.Module):
    """y = x / 2 + b, with variables, as half_plus_two and half_plus_three have them."""

    def __init__(self, b):
        super().__init__()
        self.a, self.b = tf.Variable(0.5), tf.Variable(float(b))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x):
        return {"y": self.a * x + self.b}

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def regress(self, x):
        return {"outputs": self.a * x + self.b}


class Kinds(tf.Module):
    """Whole numbers of both sizes and truth values: the sum of a row, whether it is asked for, and where its largest is."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.int64, name="numbers"), tf.TensorSpec([None], tf.bool, name="asked")])
    def serve(self, numbers, asked):
        total = tf.reduce_sum(numbers, axis=1)
        return {"sum": total, "not": tf.logical_not(asked), "largest": tf.argmax(numbers, axis=1, output_type=tf.int32)}


def save(name, module, **signatures):
    path = FOLDER / name
    shutil.rmtree(path, ignore_errors=True)
    tf.saved_model.save(module, path, signatures=signatures)
    # Only training tools read it.
    (path / "fingerprint.pb").unlink(missing_ok=True)


save("half_plus_two/123", two := HalfPlus(2), serving_default=two.serve)
save("half_plus_three/123", three := HalfPlus(3), **{"serving_default": three.serve, "tensorflow/serving/regress": three.regress})
save("kinds", kinds := Kinds(), serving_default=kinds.serve)
save("unnamed", other := HalfPlus(1), one=other.serve, another=other.serve)
