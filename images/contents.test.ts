import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { contents, imageNames, keeps } from "./contents.ts";
import { filesUnder } from "./files.ts";

const root = join(import.meta.dirname, "..");

/** Packages that a source file loads at run time: `types` only vanish. */
function imported(source: string): string[] {
  const patterns = [
    /^\s*(?:import|export)\s+(?!type\b)[^;"]*?from\s+"([^"]+)"/gm,
    /^\s*import\s+"([^"]+)"/gm,
    /\b(?:import|require|require\.resolve)\(\s*"([^"]+)"/g,
  ];
  const names = patterns.flatMap((pattern) => [...source.matchAll(pattern)].map(([, name = ""]) => name));
  return names
    .filter((name) => !name.startsWith(".") && !name.startsWith("node:"))
    .map((name) =>
      name
        .split("/")
        .slice(0, name.startsWith("@") ? 2 : 1)
        .join("/"),
    );
}

async function importedBy(folders: string[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (const folder of folders)
    for (const file of await filesUnder(join(root, folder))) {
      if (!file.endsWith(".ts") || /\.test\.ts$|(^|\/)testing\/|^engine\/build\//.test(file)) continue;
      for (const name of imported(await readFile(join(root, folder, file), "utf8"))) found.add(name);
    }
  return found;
}

describe.each(imageNames)("the image of the %s", (image) => {
  const { sources, packages, omitted } = contents[image];

  it("holds every package that its sources import, or says why not", async () => {
    const known = new Set([...packages, ...Object.keys(omitted)]);
    expect([...(await importedBy(sources))].filter((name) => !known.has(name))).toEqual([]);
  });

  it("holds no package that its sources do not import", async () => {
    const needed = await importedBy(sources);
    expect([...packages, ...Object.keys(omitted)].filter((name) => !needed.has(name))).toEqual([]);
  });
});

describe("of a package an image keeps", () => {
  it.each([
    ["yaml", "dist/doc/Document.js"],
    ["yaml", "package.json"],
    ["express", "LICENSE"],
    ["express", "lib/application.js"],
    ["@tensorflow/tfjs-core", "dist/tf-core.node.js"],
    ["@tensorflow/tfjs-core", "package.json"],
    ["@tensorflow/tfjs-backend-wasm", "dist/tfjs-backend-wasm-threaded-simd.wasm"],
    ["@tensorflow/tfjs-node-gpu", "dist/kernels/Add.js"],
    ["h5wasm", "dist/esm/hdf5_util.js"],
    ["@tensorflow/tfjs-node-gpu", "dist/proto/api_pb.js"],
    ["onnxruntime-node", `bin/napi-v6/linux/${process.arch}/libonnxruntime.so.1`],
    ["onnxruntime-node", "dist/binding.js"],
    ["onnxruntime-common", "dist/cjs/tensor-impl.js"],
    ["onnxruntime-common", "dist/cjs/package.json"],
  ])("%s: %s", (name, file) => expect(keeps(name, file)).toBe(true));
});

describe("of a package an image leaves out", () => {
  it.each([
    ["yaml", "README.md"],
    ["yaml", "dist/index.d.ts"],
    ["undici", "docs/docs/api/Client.js"],
    ["undici", "types/agent.d.ts"],
    ["zod", "src/v4/core/schemas.ts"],
    ["h5wasm", "dist/iife/h5wasm.js"],
    ["h5wasm", "dist/node/hdf5_util.js"],
    ["winston", "lib/winston.js.map"],
    ["@tensorflow/tfjs-core", "dist/tf-core.min.js"],
    ["@tensorflow/tfjs-core", "dist/ops/add.js"],
    ["@tensorflow/tfjs-node-gpu", "dist/image_test.js"],
    ["@tensorflow/tfjs-node-gpu", "scripts/install.js"],
    ["@tensorflow/tfjs-node-gpu", "binding/tfjs_backend.cc"],
    ["onnxruntime-node", `bin/napi-v6/linux/${process.arch === "x64" ? "arm64" : "x64"}/libonnxruntime.so.1`],
    ["onnxruntime-node", "bin/napi-v6/win32/x64/DirectML.dll"],
    ["onnxruntime-node", "script/install.js"],
    ["onnxruntime-common", "dist/ort.min.js"],
    ["onnxruntime-common", "dist/esm/index.js"],
  ])("%s: %s", (name, file) => expect(keeps(name, file)).toBe(false));
});
