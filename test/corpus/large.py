"""Makes models of the size that is in use with Keras: random weights, inputs, and what Keras answers, also in float64.

    python3 -m venv VENV && VENV/bin/pip install -r test/corpus/requirements.txt
    VENV/bin/python test/corpus/large.py FOLDER [NAME...]
    node test/corpus/compare.ts FOLDER

Writes FOLDER/NAME/model.keras and FOLDER/NAME/example.json; 1.4 GB for all of them.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import architectures
from packing import packed

ROWS = 2


def exact_outputs(name, model, inputs):
    """What the same model answers when it is computed in float64."""
    keras.config.set_dtype_policy("float64")
    try:
        exact = architectures.FULL[name]()
    finally:
        keras.config.set_dtype_policy("float32")
    exact.set_weights(model.get_weights())
    wide = [one.astype("float64") if one.dtype == np.float32 else one for one in inputs]
    return [np.asarray(one, "float32") for one in keras.tree.flatten(exact.predict(wide if len(wide) > 1 else wide[0], verbose=0))]


def make(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    random = np.random.default_rng(list(name.encode()))
    model = architectures.FULL[name]()
    architectures.give_weights(model, random)
    inputs = architectures.inputs_for(model, random, ROWS)
    outputs = keras.tree.flatten(model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0))
    model.save(folder / "model.keras")
    example = {"inputs": inputs, "outputs": outputs, "exact": exact_outputs(name, model, inputs)}
    (folder / "example.json").write_text(json.dumps({key: [packed(one) for one in arrays] for key, arrays in example.items()}))
    print(f"{name}: {model.count_params() / 1e6:.1f} million parameters", flush=True)


folder, *names = sys.argv[1:]
for name in names or architectures.FULL:
    make(name, pathlib.Path(folder) / name)
