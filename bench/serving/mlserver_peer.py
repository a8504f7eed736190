"""An ONNX model behind MLServer, which has no runtime of TensorFlow's; `mlserver_peer.py MODEL.onnx PORT GRPC_PORT` writes its settings and starts it."""

import json
import os
import pathlib
import sys
import tempfile

import mlserver
from mlserver.codecs import NumpyCodec
import onnxruntime


class Model(mlserver.MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        return True

    async def predict(self, payload):
        rows = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        output = self.session.run(None, rows)[0]
        return mlserver.types.InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", output)])


if __name__ == "__main__":
    model, port, grpc_port = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-mlserver-"))
    settings = {"http_port": int(port), "grpc_port": int(grpc_port), "metrics_endpoint": None, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "mlserver_peer.Model"}))
    os.environ.update(BENCH_MODEL=os.path.abspath(model), PYTHONPATH=str(pathlib.Path(__file__).parent))
    os.execv(pathlib.Path(sys.executable).parent / "mlserver", ["mlserver", "start", str(folder)])
