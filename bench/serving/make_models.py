"""Makes the models of the benchmark with Keras in FOLDER, each as NAME/model.keras: `make_models.py FOLDER NAME...`"""

import os
import pathlib
import sys

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "test/corpus"))

import keras
from keras import layers as L

import architectures

MODELS = {
    "mlp": lambda: keras.Sequential([keras.Input((784,), name="x"), L.Dense(128, "relu"), L.Dense(64, "relu"), L.Dense(10, "softmax")], name="mlp"),
    "cnn": lambda: keras.Sequential(
        [
            keras.Input((28, 28, 1), name="x"),
            L.Conv2D(32, 3, activation="relu"),
            L.Conv2D(64, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(128, "relu"),
            L.Dense(10, "softmax"),
        ],
        name="cnn",
    ),
    "mobilenet": architectures.FULL["mobilenet-v2"],
    "bert": architectures.FULL["bert-base"],
}
folder, *names = sys.argv[1:]
for name in names:
    keras.utils.set_random_seed(1)
    target = pathlib.Path(folder) / name
    target.mkdir(parents=True, exist_ok=True)
    MODELS[name]().save(target / "model.keras")
