"""Calls a server with tritonclient (HTTP and gRPC), unchanged, and prints what came back.

    python3 triton_clients.py HTTP_PORT GRPC_PORT
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

HTTP, GRPC = (f"127.0.0.1:{port}" for port in sys.argv[1:3])
ROWS = np.array([[1, 2, 3, 4], [-1, 0.5, 0, 8]], dtype=np.float32)


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return error.message()
    return None


def tensors(module):
    a = module.InferInput("a", [2, 2], "FP32")
    a.set_data_from_numpy(np.array([[1, 2], [3, 4]], dtype=np.float32))
    n = module.InferInput("n", [2, 1], "INT32")
    n.set_data_from_numpy(np.array([[2], [0]], dtype=np.int32))
    return [n, a]


def triton(module, address, **keywords):
    client = module.InferenceServerClient(address)
    x = module.InferInput("x", list(ROWS.shape), "FP32")
    x.set_data_from_numpy(ROWS)
    answer = client.infer("linear", [x], request_id="7", **keywords)
    form = {"as_json": True} if module is triton_grpc else {}
    other, total = (output["name"] for output in client.get_model_metadata("pair", **form)["outputs"])
    pair = client.infer("pair", tensors(module), outputs=[module.InferRequestedOutput(total)])
    callbacks = []
    if module is triton_grpc:
        from threading import Event

        done = Event()
        client.async_infer("linear", [x], callback=lambda result, error: (callbacks.append(result), done.set()))
        done.wait(20)
        later = callbacks[0]
    else:
        later = client.async_infer("linear", [x]).get_result()
    index = client.get_model_repository_index(**form)
    client.unload_model("pair")
    unloaded = client.is_model_ready("pair")
    client.load_model("pair")
    metadata = client.get_model_metadata("linear", **form)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model": client.is_model_ready("linear"),
        "version": client.is_model_ready("linear", "1"),
        "metadata": metadata,
        "linear": answer.as_numpy("y/y").tolist(),
        "later": later.as_numpy("y/y").tolist(),
        "pair": pair.as_numpy(total).tolist(),
        "withoutOthers": pair.as_numpy(other) is None,
        "index": sorted(entry["name"] for entry in (index["models"] if isinstance(index, dict) else index)),
        "unloaded": unloaded,
        "loaded": client.is_model_ready("pair"),
        "unknown": refused(lambda: client.infer("nothing", [x])),
    }


result = {
    "tritonHttp": triton(triton_http, HTTP),
    "tritonHttpGzip": triton(triton_http, HTTP, request_compression_algorithm="gzip", response_compression_algorithm="gzip"),
    "tritonGrpc": triton(triton_grpc, GRPC),
    "tritonGrpcGzip": triton(triton_grpc, GRPC, compression_algorithm="gzip"),
}
print()
print(json.dumps(result))
