import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { command } from "../test/cluster/command.ts";
import { contents, hasCode, home, imageNames, keeps, parts, variants } from "./contents.ts";
import type { ImageName, Part, Variant } from "./contents.ts";
import { copy, digest, filesKey, filesUnder, normalise } from "./files.ts";
import { closure, packageName } from "./lock.ts";
import type { Lock } from "./lock.ts";

/** An image's files cannot be put together. The message names what is missing and the remedy. */
export class StagingFailed extends Error {
  override readonly name = "StagingFailed";
  readonly code = "StagingFailed";
}

export type StageOptions = {
  image: ImageName;
  variant: Variant;
  /** The repository, with its packages installed and, for the runtime, its engine built. */
  root: string;
  /** The parts are laid out as `<out>/<image>/<part>`, each the root of a file system. */
  out: string;
  arch?: string;
  log?: (line: string) => void;
};

const engineModule = "node_modules/@tensorflow/tfjs-node-gpu";

/** Lays out the parts of an image. A part whose inputs did not change is left as it is. Returns the key of each part. */
export async function stage(options: StageOptions): Promise<Record<Part, string>> {
  const makers: Record<Part, (to: string) => Promise<void>> = {
    node: (to) => stageNode(options, to),
    modules: (to) => stageModules(options, to),
    engine: (to) => stageEngine(options, to),
    program: (to) => stageProgram(options, to),
  };
  const keys = await partKeys(options);
  for (const part of parts) {
    const folder = join(options.out, options.image, part);
    const record = `${folder}.key`;
    if ((await readFile(record, "utf8").catch(() => "")) === keys[part]) continue;
    options.log?.(`Staging ${options.image}: ${part}`);
    await rm(record, { force: true });
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await makers[part](folder);
    await normalise(folder);
    await writeFile(record, keys[part]);
  }
  return keys;
}

/** Short names for exactly these inputs, one for each part. */
export async function partKeys(options: Omit<StageOptions, "out">): Promise<Record<Part, string>> {
  const { image, root, variant } = options;
  const lock = await readLock(root);
  const { packages, sources, engine } = contents[image];
  const staging = await filesKey(import.meta.dirname, ["contents.ts", "lock.ts", "stage.ts"]);
  const node = lock.packages[`node_modules/${nodePackage(options)}`];
  const modules = closure(lock, packages, hasCode, platformOf(options.arch)).map((path) => [
    path,
    lock.packages[path]?.integrity,
  ]);
  const compiled = (await Promise.all(sources.map((folder) => sourceFiles(root, folder)))).flat();
  const build = ["package.json", "tsconfig.json", "tsconfig.build.json"];
  return {
    node: digest(staging, nodePackage(options), node),
    modules: digest(staging, options.arch ?? process.arch, modules),
    engine: digest(staging, engine ? [variant, await engineState(root, variant)] : []),
    program: digest(
      staging,
      await filesKey(root, [...compiled, ...build]),
      image,
      lock.packages["node_modules/typescript"],
    ),
  };
}

async function stageNode(options: StageOptions, to: string): Promise<void> {
  const folder = join(options.root, "node_modules", nodePackage(options));
  if (!existsSync(join(folder, "bin/node")))
    throw new StagingFailed(`The npm package ${nodePackage(options)} is not installed. Run npm ci.`);
  await copy(join(folder, "bin/node"), join(to, "usr/local/bin/node"));
  await copy(join(folder, "LICENSE"), join(to, "usr/local/share/licenses/node/LICENSE"));
}

/** Images are of Debian. */
const platformOf = (arch: string = process.arch) => ({ os: "linux", cpu: arch, libc: "glibc" });

/** Copies the npm packages of an image, less what is not needed at run time. */
export async function stageModules(
  { image, root, arch }: Pick<StageOptions, "image" | "root" | "arch">,
  to: string,
): Promise<void> {
  for (const path of closure(await readLock(root), contents[image].packages, hasCode, platformOf(arch))) {
    if (!existsSync(join(root, path, "package.json")))
      throw new StagingFailed(`The npm package ${packageName(path)} is not installed. Run npm ci.`);
    const name = packageName(path);
    const files = (await filesUnder(join(root, path), "node_modules")).filter((file) => keeps(name, file, arch));
    for (const file of files) await copy(join(root, path, file), join(to, home, path, file));
  }
}

async function stageEngine({ image, root, variant }: StageOptions, to: string): Promise<void> {
  if (!contents[image].engine) return;
  for (const file of await engineFiles(root, variant))
    await copy(join(root, engineModule, file), join(to, home, engineModule, file));
}

async function stageProgram({ image, root }: StageOptions, to: string): Promise<void> {
  const { command: name, main, sources } = contents[image];
  if (!existsSync(join(root, main)))
    throw new StagingFailed(`${main} is not there: the image would have nothing to run.`);
  const built = await mkdtemp(join(tmpdir(), "modelwright-dist-"));
  try {
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    await command(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json"), "--outDir", built], {
      cwd: root,
    });
    for (const folder of sources) {
      const files = await filesUnder(join(built, folder));
      for (const file of files) await copy(join(built, folder, file), join(to, home, "dist", folder, file));
      // Read at run time from beside the code.
      for (const file of (await filesUnder(join(root, folder))).filter(isProto))
        await copy(join(root, folder, file), join(to, home, "dist", folder, file));
    }
  } finally {
    await rm(built, { recursive: true, force: true });
  }
  const { version, license, type } = await readPackage(root);
  await writeFile(
    join(to, home, "package.json"),
    `${JSON.stringify({ name: "modelwright", version, license, type })}\n`,
  );
  const program = join("dist", main.replace(/\.ts$/, ".js"));
  await makeExecutable(join(to, home, program));
  await mkdir(join(to, "usr/local/bin"), { recursive: true });
  await symlink(`/${home}/${program}`, join(to, "usr/local/bin", name));
}

/** The emitted program starts by itself with the image's Node: there need be no shell. */
async function makeExecutable(file: string): Promise<void> {
  const code = (await readFile(file, "utf8")).replace(/^#!.*\n/, "");
  await writeFile(file, `#!/usr/local/bin/node\n${code}`);
  await chmod(file, 0o755);
}

/** What tfjs-node needs besides its package: the addon and TensorFlow's two libraries, where its build has put them. */
async function engineFiles(root: string, variant: Variant): Promise<string[]> {
  const module = join(root, engineModule);
  const libraries = await realpath(join(module, "deps/lib")).catch(() => "");
  if (!basename(dirname(libraries)).startsWith(`${variant}-`))
    throw new StagingFailed(`The engine is not built for ${variant}. Run npm run engine -- --variant ${variant}.`);
  const addons = (await filesUnder(join(module, "lib"))).filter((file) => file.endsWith(".node"));
  const shared = (await readdir(libraries)).filter((file) => /\.so\.\d+$/.test(file));
  return [...addons.map((file) => `lib/${file}`), ...shared.map((file) => `deps/lib/${file}`)];
}

/** Changes when the engine is built from something else. The addon is small enough to be read. */
async function engineState(root: string, variant: Variant): Promise<unknown> {
  const describe = async (file: string): Promise<unknown> => {
    const path = join(root, engineModule, file);
    if (file.endsWith(".node")) return [file, digest((await readFile(path)).toString("base64"))];
    const { size, mtimeMs } = await stat(path);
    return [file, size, mtimeMs];
  };
  return Promise.all((await engineFiles(root, variant)).map(describe));
}

function nodePackage({ arch = process.arch }: Pick<StageOptions, "arch">): string {
  return `node-linux-${arch}`;
}

async function readLock(root: string): Promise<Lock> {
  return JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as Lock;
}

async function readPackage(root: string): Promise<{ version: string; license: string; type: string }> {
  return JSON.parse(await readFile(join(root, "package.json"), "utf8")) as Awaited<ReturnType<typeof readPackage>>;
}

async function sourceFiles(root: string, folder: string): Promise<string[]> {
  const files = await filesUnder(join(root, folder));
  return files.filter((file) => isCode(file) || isProto(file)).map((file) => join(folder, file));
}

function isCode(file: string): boolean {
  return file.endsWith(".ts") && !file.endsWith(".test.ts");
}

function isProto(file: string): boolean {
  return file.endsWith(".proto");
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { out: { type: "string" }, variant: { type: "string", default: "cpu" } },
    allowPositionals: true,
  });
  const image = imageNames.find((name) => name === positionals[0]);
  const variant = variants.find((name) => name === values.variant);
  if (image === undefined || variant === undefined || values.out === undefined)
    throw new StagingFailed(`Usage: stage.ts ${imageNames.join("|")} --out FOLDER [--variant ${variants.join("|")}]`);
  await stage({ image, variant, out: values.out, root: join(import.meta.dirname, ".."), log: console.log });
}

if (import.meta.main)
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
