/**
 * How much faster and smaller int8 is than float32 on ONNX Runtime: three dense layers, one thread, the three models in
 * turns.
 *
 *     node bench/onnx-int8.ts [UNITS]
 */
import { openBackend } from "../runtime/engine/backend.ts";
import { type OnnxSession, onnxTensor, openOnnx } from "../runtime/engine/onnx-runtime.ts";
import { lowerModel } from "../runtime/compiler/lowering/model.ts";
import { calibrate } from "../runtime/compiler/onnx/calibration.ts";
import { emitOnnx } from "../runtime/compiler/onnx/emit.ts";

const units = Number(process.argv[2] ?? "1024");
const ROUNDS = 8;
const { tf } = await openBackend("TensorFlow", { threads: 1 });
const source = tf.sequential();
for (let index = 0; index < 3; index++) {
  source.add(tf.layers.dense({ units, activation: "relu", ...(index === 0 ? { inputShape: [units] } : {}) }));
}
const { model } = lowerModel(source);
if (model === undefined) throw new Error("the model is not compiled");
const [input = { name: "" }] = model.answer.inputs;
const [output = { name: "" }] = model.answer.outputs;

const rows = (count: number) => Float32Array.from({ length: count * units }, () => Math.random() * 2 - 1);
const ranges = await calibrate(model, [[{ data: rows(64), shape: [64, units] }]], { method: "MinMax" });
const files = {
  Float32: await emitOnnx(model),
  Int8Dynamic: await emitOnnx(model, { precision: "Int8Dynamic" }),
  Int8Static: await emitOnnx(model, { precision: "Int8Static", ranges }),
};
const sessions: [string, OnnxSession][] = [];
for (const [name, bytes] of Object.entries(files)) sessions.push([name, await openOnnx(bytes, name, { threads: 1 })]);

/** Median milliseconds of a call. */
async function median(session: OnnxSession, batch: number, calls: number): Promise<number> {
  const given = { [input.name]: onnxTensor("float32", rows(batch), [batch, units]) };
  const times: number[] = [];
  for (let call = 0; call < calls; call++) {
    const startedAt = performance.now();
    await session.run(given, [output.name]);
    times.push(performance.now() - startedAt);
  }
  return times.toSorted((a, b) => a - b)[calls >> 1] ?? NaN;
}

for (const batch of [1, 32, 256]) {
  const best = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, session] of sessions) {
      best.set(name, Math.min(best.get(name) ?? Infinity, await median(session, batch, batch === 1 ? 100 : 20)));
    }
  }
  const full = best.get("Float32") ?? NaN;
  const cells = [...best].map(([name, time]) => `${name} ${time.toFixed(3)} ms (${(full / time).toFixed(2)} x)`);
  console.log(`batch ${batch}: ${cells.join(", ")}`);
}
for (const [name, bytes] of Object.entries(files)) {
  console.log(`${name}: ${bytes.length} bytes (${(files.Float32.length / bytes.length).toFixed(2)} x smaller)`);
}
