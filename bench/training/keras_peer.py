"""Seconds per epoch of Keras' fit: WORKLOAD (tfdata|numpy|jit) EPOCHS; prints JSON."""
import json, os, sys, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
import numpy, keras, tensorflow
from keras import layers

name, kind, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(os.path.join(os.path.dirname(__file__), "workloads.json")) as file:
    work = json.load(file)[name]
stacks = {
    "mlp": lambda: [layers.Dense(128, "relu"), layers.Dense(64, "relu")],
    "cnn": lambda: [layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu"),
                    layers.MaxPooling2D(), layers.Flatten(), layers.Dense(128, "relu")],
    "lstm": lambda: [layers.LSTM(64)],
    "gru": lambda: [layers.GRU(64)],
}
model = keras.Sequential([layers.Input(work["exampleShape"]), *stacks[work["model"]](), layers.Dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=True if kind == "jit" else "auto")
random = numpy.random.default_rng(1)
x = random.random((work["rows"], *work["exampleShape"]), dtype="float32")
y = random.integers(0, 10, work["rows"])
data = [x, y]
if kind != "numpy":
    data = [tensorflow.data.Dataset.from_tensor_slices((x, y)).shuffle(work["rows"]).batch(work["batch"]).prefetch(2)]
seconds = []
for _ in range(epochs + 1):
    began = time.perf_counter()
    model.fit(*data, epochs=1, verbose=0, **({"batch_size": work["batch"]} if kind == "numpy" else {}))
    seconds.append(time.perf_counter() - began)
# The first epoch traces the graph.
print(json.dumps({"seconds": min(seconds[1:]), "first": seconds[0]}))
