/** The native addon of tfjs-node, built against the unpacked libraries. */
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { packageFolder } from "./places.ts";
import { run } from "./run.ts";

export const ADDON = "lib/napi-v8/tfjs_binding.node";

/** Name of the npm package that carries this Node and its headers. */
const nodePackage = () => `node-${process.platform}-${process.arch}`;

/** The programs of npm packages: node-pre-gyp finds node-gyp only through PATH. */
function programsPath(modules: string, env: NodeJS.ProcessEnv): string {
  return [join(modules, ".bin"), dirname(process.execPath), env["PATH"] ?? ""].join(delimiter);
}

/** Builds the addon of the package in `folder`, whose `deps` are in place, and puts a copy at `cached`. */
export async function buildAddon(folder: string, cached: string, env: NodeJS.ProcessEnv): Promise<void> {
  const modules = join(folder, "..", "..");
  const builder = join(packageFolder("@mapbox/node-pre-gyp"), "bin", "node-pre-gyp");
  const args = [builder, "install", "--build-from-source", `--nodedir=${packageFolder(nodePackage())}`];
  await rm(join(folder, "build"), { recursive: true, force: true });
  await run(process.execPath, args, { cwd: folder, env: { ...env, PATH: programsPath(modules, env) } });
  for (const waste of ["build", "build-tmp-napi-v8"]) await rm(join(folder, waste), { recursive: true, force: true });
  await mkdir(dirname(cached), { recursive: true });
  await copyFile(join(folder, ADDON), `${cached}.new`);
  await rename(`${cached}.new`, cached);
}
