"""TensorFlow behind FastAPI: `fastapi_peer.py MODEL PORT GRPC_PORT`"""

import sys

import fastapi
import orjson
import uvicorn

from keras_answer import columns, load

answer, names = load(sys.argv[1])
app = fastapi.FastAPI()


@app.post("/v1/models/m:predict")
async def predict(request: fastapi.Request):
    # One worker computes one request at a time; a thread pool only adds to it on one core.
    rows = orjson.loads(await request.body())["instances"]
    return fastapi.Response(orjson.dumps({"predictions": answer(*columns(rows, names)).tolist()}), media_type="application/json")


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
