"""Calls a server with kserve's InferenceRESTClient, unchanged, and prints what came back.

    python3 kserve_clients.py HTTP_PORT

A program of its own: kserve and tritonclient register the same protobuf messages.
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

HTTP = f"127.0.0.1:{sys.argv[1]}"
ROWS = np.array([[1, 2, 3, 4], [-1, 0.5, 0, 8]], dtype=np.float32)


async def kserve(protocol):
    client = InferenceRESTClient(RESTConfig(protocol=protocol))
    base = f"http://{HTTP}"
    if protocol == "v1":
        body = await client.infer(base, {"instances": ROWS.tolist()}, model_name="linear")
        return {"linear": body["predictions"], "ready": await client.is_model_ready(base, "linear")}
    x = InferInput("x", list(ROWS.shape), "FP32")
    x.set_data_from_numpy(ROWS, binary_data=False)
    binary = InferInput("x", list(ROWS.shape), "FP32")
    binary.set_data_from_numpy(ROWS, binary_data=True)
    answer, other = [
        await client.infer(base, InferRequest(model_name="linear", infer_inputs=[one], request_id="9"), model_name="linear")
        for one in (x, binary)
    ]
    return {
        "id": answer.id,
        "linear": answer.outputs[0].as_numpy().tolist(),
        "binary": other.outputs[0].as_numpy().tolist(),
        "live": await client.is_server_live(base),
        "ready": await client.is_server_ready(base),
        "model": await client.is_model_ready(base, "linear"),
    }


print()
print(json.dumps({protocol: asyncio.run(kserve(protocol)) for protocol in ("v1", "v2")}))
