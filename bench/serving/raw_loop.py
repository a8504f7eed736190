"""How often ONNX Runtime itself computes MODEL.onnx on batches of so many rows, a second, in Python: `raw_loop.py MODEL.onnx SECONDS ROWS...`"""

import json
import sys
import time

import numpy as np
import onnxruntime

model, seconds, *batches = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options)
random = np.random.default_rng(1)


def values(spec, rows):
    shape = (rows, *spec.shape[1:])
    return random.integers(0, 128, shape, dtype="int32") if "int" in spec.type else random.random(shape, dtype="float32")


calls_of = {}
for rows in map(int, batches):
    x = {spec.name: values(spec, rows) for spec in session.get_inputs()}
    session.run(None, x)
    calls, begun = 0, time.perf_counter()
    while time.perf_counter() < begun + float(seconds):
        session.run(None, x)
        calls += 1
    calls_of[rows] = calls / (time.perf_counter() - begun)
print(json.dumps(calls_of))
