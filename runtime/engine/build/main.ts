/**
 * The native step: binds tfjs-node to the TensorFlow libraries of a PyPI wheel. Run by `npm run engine [-- --variant
 * cpu|gpu]`. Idempotent: libraries and addon are kept in the cache. Where it cannot be done, the Wasm engine is used.
 */
import { access, copyFile, mkdir, readlink, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ADDON, buildAddon } from "./addon.ts";
import { unpackLibraries } from "./libraries.ts";
import { cacheFolder, packageFolder } from "./places.ts";
import { missingPackages } from "./requirements.ts";
import { run } from "./run.ts";
import { type Variant, cacheKey, wheelFor } from "./wheel.ts";

const say = (text: string) => console.log(`[engine] ${text}`);

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

async function requirePrograms(): Promise<void> {
  const packages = await missingPackages();
  if (packages.length === 0) return;
  throw new Error(
    `missing: ${packages.join(", ")}; on Debian: apt-get install ${packages.join(" ")}, then run this again`,
  );
}

/** Points `deps/{lib,include}` of the package at the unpacked libraries. */
async function linkDependencies(folder: string, libraries: string): Promise<void> {
  await mkdir(join(folder, "deps"), { recursive: true });
  for (const name of ["lib", "include"]) {
    const link = join(folder, "deps", name);
    const target = join(libraries, name);
    if ((await readlink(link).catch(() => undefined)) === target) continue;
    await rm(link, { recursive: true, force: true });
    await symlink(target, link);
  }
}

async function bind(variant: Variant): Promise<void> {
  const wheel = wheelFor(variant, process.platform, process.arch);
  if (wheel === undefined) {
    say(`there is no TensorFlow ${variant} library for ${process.platform}/${process.arch}; the Wasm engine is used`);
    return;
  }
  const libraries = join(cacheFolder(process.env), "engine", cacheKey(variant, process.arch, wheel));
  const folder = packageFolder("@tensorflow/tfjs-node-gpu");
  const cached = join(libraries, "addon", "tfjs_binding.node");
  if (!(await exists(join(libraries, "lib")))) {
    await requirePrograms();
    await unpackLibraries(wheel, libraries, say);
  }
  await linkDependencies(folder, libraries);
  if (await exists(cached)) {
    await mkdir(dirname(join(folder, ADDON)), { recursive: true });
    // A process may have the old file open: replace it, do not write into it.
    await rm(join(folder, ADDON), { force: true });
    await copyFile(cached, join(folder, ADDON));
  } else {
    await requirePrograms();
    say("building the addon of tfjs-node");
    await buildAddon(folder, cached, process.env);
  }
  const smoke = fileURLToPath(new URL("smoke.ts", import.meta.url));
  const { NODE_OPTIONS: _, ...env } = process.env;
  say((await run(process.execPath, [smoke], { env })).trim());
}

const { values } = parseArgs({ options: { variant: { type: "string", default: "cpu" } } });
if (values.variant !== "cpu" && values.variant !== "gpu") {
  console.error(`--variant must be cpu or gpu, not ${values.variant}`);
  process.exitCode = 64;
} else {
  try {
    await bind(values.variant);
  } catch (error) {
    console.error(`[engine] ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
