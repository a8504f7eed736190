/**
 * Compares models that `large.py` made with what Keras answers, on each engine in a process of its own, and tells what
 * loading and computing took: `node test/corpus/compare.ts FOLDER [--engine NAME]… [--model NAME]… [--threads 1]`.
 * Ends with 1 when an answer is off by more than 1e-5, scaled by max(1, |y|), from Keras' and from what Keras answers in
 * float64, and further from the latter than Keras is.
 */
import { spawnSync } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import type { ServingEngineChoice } from "../../crds/common.ts";
import { differenceOf } from "../../runtime/compiler/agreement.ts";
import { openExecutor } from "../../runtime/serving/choose-executor.ts";
import type { Tensor } from "../../runtime/serving/tensor.ts";

const TOLERANCE = 1e-5;
const CALLS = 5;
const ENGINES = ["OnnxRuntime", "TensorFlow", "Wasm"] as const satisfies readonly ServingEngineChoice[];

const Packed = z.object({ shape: z.array(z.int()), dtype: z.enum(["float32", "int32"]), data: z.base64() });
const Example = z.object({ inputs: z.array(Packed), outputs: z.array(Packed), exact: z.array(Packed) });
const Result = z.object({
  difference: z.number(),
  fromExact: z.number(),
  kerasFromExact: z.number(),
  loadSeconds: z.number(),
  callMilliseconds: z.number(),
  peakMegabytes: z.number(),
  why: z.string(),
});

function valuesOf({ dtype, data }: z.output<typeof Packed>): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  const bytes = Uint8Array.from(Buffer.from(data, "base64")).buffer;
  return dtype === "float32" ? new Float32Array(bytes) : new Int32Array(bytes);
}

/** In a process of its own: loads the model and asks it. */
async function measure(dir: string, engine: ServingEngineChoice, threads: number): Promise<z.output<typeof Result>> {
  const example = Example.parse(JSON.parse(await readFile(join(dir, "example.json"), "utf8")));
  const startedAt = performance.now();
  const model = await openExecutor({ dir, shownAs: dir, engine, threads });
  const loadSeconds = (performance.now() - startedAt) / 1000;
  const inputs = example.inputs.map((packed, index): Tensor => {
    const datatype = packed.dtype === "float32" ? "FP32" : "INT32";
    const { name } = model.signature.inputs[index] ?? { name: "" };
    return { name, datatype, shape: packed.shape, data: valuesOf(packed) };
  });
  const outputs = await model.infer(inputs);
  // Numbers, as those that they are compared with.
  const found = outputs.map(({ data }) => data as ArrayLike<number>);
  const [keras, exact] = [example.outputs.map(valuesOf), example.exact.map(valuesOf)];
  const differences = {
    difference: differenceOf(found, keras),
    fromExact: differenceOf(found, exact),
    kerasFromExact: differenceOf(keras, exact),
  };
  let fastest = Infinity;
  for (let call = 0; call < CALLS; call++) {
    const calledAt = performance.now();
    await model.infer(inputs);
    fastest = Math.min(fastest, performance.now() - calledAt);
  }
  const peakMegabytes = process.resourceUsage().maxRSS / 1024;
  return { ...differences, loadSeconds, callMilliseconds: fastest, peakMegabytes, why: model.why ?? "" };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: "string", multiple: true, default: [...ENGINES] },
    model: { type: "string", multiple: true },
    threads: { type: "string", default: "1" },
    one: { type: "boolean" },
  },
});
const [folder = "."] = positionals;

async function compareAll(): Promise<boolean> {
  const entries = await readdir(folder, { withFileTypes: true });
  const models = values.model ?? entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  console.log(
    "| model | engine | from Keras | from float64 | Keras from float64 | load, s | two rows, ms | peak memory, MB | how |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|");
  let agree = true;
  for (const model of models) {
    for (const engine of values.engine) {
      const args = [
        import.meta.filename,
        join(folder, model),
        "--one",
        "--engine",
        engine,
        "--threads",
        values.threads,
      ];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
      const line = stdout.trim().split("\n").at(-1) ?? "";
      if (status !== 0) {
        console.log(`| ${model} | ${engine} | failed: ${stderr.trim().split("\n").slice(-3).join(" ")} |`);
        agree = false;
        continue;
      }
      const { difference, fromExact, kerasFromExact, ...rest } = Result.parse(JSON.parse(line));
      const { loadSeconds, callMilliseconds, peakMegabytes, why } = rest;
      const differences = [difference, fromExact, kerasFromExact].map((one) => one.toExponential(1));
      const numbers = [...differences, loadSeconds.toFixed(1), callMilliseconds.toFixed(0)];
      console.log(`| ${[model, engine, ...numbers, peakMegabytes.toFixed(0), why].join(" | ")} |`);
      agree &&= difference <= TOLERANCE || fromExact <= TOLERANCE || fromExact <= kerasFromExact;
    }
  }
  return agree;
}

if (values.one) {
  const engine = ENGINES.find((name) => name === values.engine[0]) ?? "Auto";
  console.log(JSON.stringify(await measure(folder, engine, Number(values.threads))));
  process.exit(0);
}
process.exitCode = (await compareAll()) ? 0 : 1;
