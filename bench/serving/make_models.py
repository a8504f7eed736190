"""Makes the models of the benchmark with Keras in FOLDER: an MLP and a small CNN, each as model.h5. `make_models.py FOLDER`"""

import os
import pathlib
import sys

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers as L

keras.utils.set_random_seed(1)
MODELS = {
    "mlp": [keras.Input((784,), name="x"), L.Dense(128, "relu"), L.Dense(64, "relu"), L.Dense(10, "softmax")],
    "cnn": [
        keras.Input((28, 28, 1), name="x"),
        L.Conv2D(32, 3, activation="relu"),
        L.Conv2D(64, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(128, "relu"),
        L.Dense(10, "softmax"),
    ],
}
for name, layers in MODELS.items():
    folder = pathlib.Path(sys.argv[1]) / name
    folder.mkdir(parents=True, exist_ok=True)
    model = keras.Sequential(layers, name=name)
    model.save(folder / "model.h5", include_optimizer=False)
