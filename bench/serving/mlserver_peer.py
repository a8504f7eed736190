"""An ONNX model behind MLServer, which has no runtime of TensorFlow's; `mlserver_peer.py MODEL.onnx PORT` writes its settings and starts it."""

import json
import os
import pathlib
import sys
import tempfile

import mlserver
import numpy as np
import onnxruntime


class Model(mlserver.MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        self.input = self.session.get_inputs()[0].name
        return True

    async def predict(self, payload):
        tensor = payload.inputs[0]
        rows = np.array(tensor.data.root, np.float32).reshape(tensor.shape)
        output = self.session.run(None, {self.input: rows})[0]
        return mlserver.types.InferenceResponse(
            model_name=self.name,
            outputs=[mlserver.types.ResponseOutput(name="y", shape=list(output.shape), datatype="FP32", data=output.ravel().tolist())],
        )


if __name__ == "__main__":
    model, port = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-mlserver-"))
    settings = {"http_port": int(port), "grpc_port": int(port) + 1, "metrics_port": int(port) + 2, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "m", "implementation": "mlserver_peer.Model"}))
    os.environ.update(BENCH_MODEL=os.path.abspath(model), PYTHONPATH=str(pathlib.Path(__file__).parent))
    os.execv(pathlib.Path(sys.executable).parent / "mlserver", ["mlserver", "start", str(folder)])
