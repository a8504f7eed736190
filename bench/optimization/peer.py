"""What the usual tools make of the same model: FOLDER has model.json with weights.bin (float32), model.onnx and the
examples. Writes ort-dynamic/model.onnx and ort-static/model.onnx; prints what TFLite's converter gives, measured."""
import gzip
import json
import os
import sys
import time

import numpy as np

os.environ["CUDA_VISIBLE_DEVICES"] = ""
folder, examples_for_calibration = sys.argv[1], int(sys.argv[2])


def examples(name):
    shape = json.load(open(f"{folder}/shapes.json"))
    features = np.fromfile(f"{folder}/{name}-features.bin", np.float32).reshape([-1, *shape["example"]])
    return features, np.fromfile(f"{folder}/{name}-labels.bin", np.float32).astype(int)


train, _ = examples("train")
test, labels = examples("test")
seen = train[np.random.default_rng(0).permutation(len(train))[:examples_for_calibration]]


def onnx_runtime():
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = f"{folder}/prepared.onnx"
    quant_pre_process(f"{folder}/model.onnx", prepared, skip_symbolic_shape=True)
    for kind in ["ort-dynamic", "ort-static"]:
        os.makedirs(f"{folder}/{kind}", exist_ok=True)
    # As its documentation advises for this processor: 8 bits unsigned for activations, signed for weights, per channel.
    quantize_dynamic(prepared, f"{folder}/ort-dynamic/model.onnx", per_channel=True, weight_type=QuantType.QInt8)
    import onnx

    name = onnx.load(prepared).graph.input[0].name

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(np.array_split(seen, max(1, len(seen) // 64)))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    quantize_static(
        prepared,
        f"{folder}/ort-static/model.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def keras_model():
    import keras

    topology = json.load(open(f"{folder}/model.json"))
    config = topology["modelTopology"]["config"]
    data = np.fromfile(f"{folder}/weights.bin", np.float32)
    weights, offset = {}, 0
    for entry in topology["weightsManifest"][0]["weights"]:
        size = int(np.prod(entry["shape"]))
        weights[entry["name"]] = data[offset : offset + size].reshape(entry["shape"])
        offset += size
    layers, made = keras.layers, {}
    kept = ["units", "activation", "use_bias", "filters", "kernel_size", "strides", "padding", "epsilon", "pool_size"]

    def layer(entry):
        name, own = entry["class_name"], entry["config"]
        if name == "ReLU":
            return layers.ReLU(max_value=own.get("max_value"), name=own["name"])
        settings = {key: own[key] for key in kept if key in own}
        if name in ("GlobalAveragePooling2D", "Flatten", "Add"):
            settings = {}
        return getattr(layers, name)(**settings, name=own["name"])

    for entry in config["layers"]:
        if entry["class_name"] == "InputLayer":
            made[entry["name"]] = keras.Input(entry["config"]["batch_input_shape"][1:])
            continue
        given = [made[source[0]] for source in entry["inbound_nodes"][0]]
        made[entry["name"]] = layer(entry)(given if len(given) > 1 else given[0])
    model = keras.Model(made[config["input_layers"][0][0]], made[config["output_layers"][0][0]])
    for one in model.layers:
        # tfjs names the kernels of depthwise convolutions as Keras did.
        prefix = f"{one.name}/depthwise_" if one.__class__.__name__ == "DepthwiseConv2D" else f"{one.name}/"
        own = [weights[(prefix if weight.name == "kernel" else f"{one.name}/") + weight.name] for weight in one.weights]
        one.set_weights([value.reshape(weight.shape) for value, weight in zip(own, one.weights)])
    return model


def tflite(model):
    import tensorflow as tf

    def representative():
        for example in seen:
            yield [example[None]]

    found = {}
    for kind in ["float32", "dynamic", "int8"]:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        if kind != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "int8":
            converter.representative_dataset = representative
        found[kind] = measured(tf, converter.convert())
    return found


def measured(tf, content):
    def opened(batch):
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
        given, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.resize_tensor_input(given["index"], [batch, *test.shape[1:]])
        interpreter.allocate_tensors()

        def ask(values):
            interpreter.set_tensor(given["index"], values)
            interpreter.invoke()
            return interpreter.get_tensor(answer["index"])

        return ask

    def median(ask, batch, calls):
        values = np.ascontiguousarray(test[:batch])
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            ask(values)
            times.append((time.perf_counter() - start) * 1000)
        return sorted(times[len(times) // 4 :])[len(times[len(times) // 4 :]) // 2]

    one, many = opened(1), opened(32)
    right = sum(int(np.argmax(one(test[index : index + 1])) == label) for index, label in enumerate(labels))
    return {
        "bytes": len(content),
        "compressedBytes": len(gzip.compress(content)),
        "accuracy": right / len(labels),
        "single": median(one, 1, 200),
        "batch": median(many, 32, 40),
    }


onnx_runtime()
print("RESULT " + json.dumps(tflite(keras_model())))
