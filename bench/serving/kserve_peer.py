"""TensorFlow behind KServe's Python server: `kserve_peer.py MODEL PORT GRPC_PORT`"""

import sys

import kserve
from kserve.protocol.infer_type import InferOutput, InferResponse

from keras_answer import columns, load


class Model(kserve.Model):
    def __init__(self, path):
        super().__init__("m")
        self.answer, self.names = load(path)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, dict):
            return {"predictions": self.answer(*columns(payload["instances"], self.names)).tolist()}
        found = self.answer(*(payload.get_input_by_name(name).as_numpy() for name in self.names))
        output = InferOutput(name="y", shape=list(found.shape), datatype="FP32")
        output.set_data_from_numpy(found)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])


model, port, grpc_port = sys.argv[1:]
server = kserve.ModelServer(http_port=int(port), grpc_port=int(grpc_port), workers=1, enable_latency_logging=False, access_log_format=None)
server.start([Model(model)])
