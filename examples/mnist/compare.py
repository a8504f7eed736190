"""Draws a random row of 784 numbers and asks a running server by every protocol; what Keras answers is the measure.

    npx modelwright serve examples/mnist
    VENV/bin/python examples/mnist/compare.py [HTTP_PORT] [GRPC_PORT]
"""

import json
import os
import pathlib
import sys
import urllib.request

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tritonclient.grpc

HTTP, GRPC = (f"127.0.0.1:{port}" for port in (sys.argv[1:] + ["8080", "9000"][len(sys.argv) - 1 :])[:2])


def post(path, body, headers=None):
    """The answer's body and headers."""
    with urllib.request.urlopen(urllib.request.Request(f"http://{HTTP}{path}", body, headers or {})) as answer:
        return answer.read(), answer.headers


def predict(form, answer, row):
    return json.loads(post("/v1/models/mnist:predict", json.dumps({form: row.tolist()}).encode())[0])[answer]


def infer(row):
    inputs = [{"name": "pixels", "datatype": "FP32", "shape": [1, 784], "data": row.ravel().tolist()}]
    return json.loads(post("/v2/models/mnist/infer", json.dumps({"inputs": inputs}).encode())[0])["outputs"][0]["data"]


def infer_binary(row):
    inputs = [{"name": "pixels", "datatype": "FP32", "shape": [1, 784], "parameters": {"binary_data_size": row.nbytes}}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body, headers = post("/v2/models/mnist/infer", head + row.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
    return np.frombuffer(body[int(headers["Inference-Header-Content-Length"]) :], "float32")


def infer_grpc(row):
    pixels = tritonclient.grpc.InferInput("pixels", [1, 784], "FP32")
    pixels.set_data_from_numpy(row)
    client = tritonclient.grpc.InferenceServerClient(GRPC)
    name = client.get_model_metadata("mnist").outputs[0].name
    return client.infer("mnist", [pixels]).as_numpy(name)


row = np.random.default_rng().random((1, 784), dtype="float32")
expected = keras.saving.load_model(pathlib.Path(__file__).parent / "model.h5", compile=False).predict(row, verbose=0).ravel()
WAYS = {
    "TensorFlow Serving REST, rows": lambda: predict("instances", "predictions", row),
    "TensorFlow Serving REST, columns": lambda: predict("inputs", "outputs", row),
    "Open Inference Protocol REST, JSON": lambda: infer(row),
    "Open Inference Protocol REST, binary": lambda: infer_binary(row),
    "Open Inference Protocol gRPC": lambda: infer_grpc(row),
}
differences = {}
for way, ask in WAYS.items():
    differences[way] = float(np.max(np.abs(np.ravel(ask()) - expected)))
    print(f"{way:38} largest difference from Keras {differences[way]:.1e}")
sys.exit(0 if max(differences.values()) <= 1e-5 else 1)
