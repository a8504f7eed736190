"""Makes model.h5 with Keras: 784-128-64-10, trained on the handwritten digits of ../digits enlarged to 28 x 28.

    python3 -m venv VENV && VENV/bin/pip install -r examples/mnist/requirements.txt
    VENV/bin/python examples/mnist/make.py

Writes answers.json, too: random rows and what Keras answers to them.
"""

import json
import os
import pathlib

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as L

FOLDER = pathlib.Path(__file__).parent
DATA = FOLDER.parent / "digits" / "data"


def digits(name):
    """Rows of 784 numbers from 0 to 1, and the digits."""
    table = np.loadtxt(DATA / name, delimiter=",", skiprows=1, dtype="float32")
    images = table[:, :64].reshape(-1, 8, 8) / 16
    nearest = np.arange(28) * 8 // 28
    return images[:, nearest][:, :, nearest].reshape(-1, 784), table[:, 64].astype("int32")


def main():
    keras.utils.set_random_seed(28)
    model = keras.Sequential([keras.Input((784,), name="pixels"), L.Dense(128, "relu"), L.Dense(64, "relu"), L.Dense(10, "softmax")], name="mnist")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*digits("train.csv"), batch_size=32, epochs=20, verbose=0)
    print("accuracy on digits that it has not seen:", round(model.evaluate(*digits("test.csv"), verbose=0)[1], 4))
    # Without the optimizer's state, which only training needs.
    model.save(FOLDER / "model.h5", include_optimizer=False)
    rows = np.random.default_rng(28).random((4, 784), dtype="float32")
    answers = {"rows": [[round(float(value), 4) for value in row] for row in rows]}
    answers["keras"] = model.predict(np.array(answers["rows"], "float32"), verbose=0).tolist()
    (FOLDER / "answers.json").write_text(json.dumps(answers) + "\n")


main()
