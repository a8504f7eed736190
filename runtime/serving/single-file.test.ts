import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { modelFolder } from "./single-file.ts";

let scratch = "";
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "single-file-"));
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

describe("a model that is one file", () => {
  it.each([
    ["digits.v2.keras", "digits.v2", "model.keras"],
    ["mnist.H5", "mnist", "model.h5"],
    ["mnist.hdf5", "mnist", "model.h5"],
    ["net.onnx", "net", "model.onnx"],
  ])("gets a folder: %s", async (file, name, inside) => {
    const path = join(scratch, file);
    await writeFile(path, "weights");
    const folder = await modelFolder(path, scratch);
    expect(basename(folder)).toBe(name);
    expect(await readdir(folder)).toEqual([inside]);
    expect(await readFile(join(folder, inside), "utf8")).toBe("weights");
    expect(await modelFolder(path, scratch)).toBe(folder);
    await writeFile(path, "other weights");
    expect(await readFile(join(await modelFolder(path, scratch), inside), "utf8")).toBe("other weights");
  });

  it("is none when it is a folder, not there, or of another kind", async () => {
    await writeFile(join(scratch, "notes.txt"), "");
    for (const path of [scratch, join(scratch, "gone.h5"), join(scratch, "notes.txt")]) {
      expect(await modelFolder(path, scratch)).toBe(path);
    }
  });
});
