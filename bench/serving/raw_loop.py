"""How often ONNX Runtime itself computes MODEL.onnx on one row and on 64, a second, in Python: `raw_loop.py MODEL.onnx`"""

import json
import sys
import time

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
(spec,) = session.get_inputs()
rates = {}
for rows in (1, 64):
    x = {spec.name: np.random.default_rng(1).random((rows, *spec.shape[1:]), dtype="float32")}
    calls, until = 0, time.perf_counter() + 2
    while time.perf_counter() < until:
        session.run(None, x)
        calls += 1
    rates[rows] = calls * rows / 2
print(json.dumps(rates))
