"""TensorFlow behind KServe's Python server: `kserve_peer.py MODEL PORT`"""

import sys

import kserve

from keras_answer import load


class Model(kserve.Model):
    def __init__(self, path):
        super().__init__("m")
        self.answer = load(path)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": self.answer(payload["instances"]).tolist()}


model, port = sys.argv[1:]
kserve.ModelServer(http_port=int(port), workers=1, enable_grpc=False, enable_latency_logging=False, access_log_format=None).start([Model(model)])
