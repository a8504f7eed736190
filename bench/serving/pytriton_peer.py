"""An ONNX model behind PyTriton's Triton server: `pytriton_peer.py MODEL.onnx PORT GRPC_PORT`. Needs a Python with its own shared library."""

import sys

import numpy as np
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}

model, port, grpc_port = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options)
output = session.get_outputs()[0].name


@batch
def answer(**rows):
    return {"y": session.run([output], rows)[0]}


def spec(value):
    return Tensor(name=value.name, dtype=TYPES[value.type], shape=tuple(size if isinstance(size, int) else -1 for size in value.shape[1:]))


zeros = {value.name: np.zeros((1, *value.shape[1:]), TYPES[value.type]) for value in session.get_inputs()}
result = session.run([output], zeros)[0]
with Triton(config=TritonConfig(http_port=int(port), grpc_port=int(grpc_port), allow_metrics=False, http_address="127.0.0.1")) as triton:
    triton.bind(
        model_name="m",
        infer_func=answer,
        inputs=[spec(value) for value in session.get_inputs()],
        outputs=[Tensor(name="y", dtype=np.float32, shape=result.shape[1:])],
        config=ModelConfig(max_batch_size=64, batcher=DynamicBatcher()),
    )
    triton.serve()
