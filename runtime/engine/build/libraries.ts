/** TensorFlow's libraries and headers, unpacked from the wheel into the cache. */
import { chmod, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./run.ts";
import { type Wheel, downloadArguments, requirement } from "./wheel.ts";

const UNPACK = fileURLToPath(new URL("unpack.py", import.meta.url));

/** binding.gyp links with these names; at run time the files are found by their own (SONAME). */
const LINK_NAMES = {
  "libtensorflow.so": "libtensorflow_cc.so.2",
  "libtensorflow_framework.so": "libtensorflow_framework.so.2",
};

async function download(wheel: Wheel, folder: string): Promise<string> {
  const requirements = join(folder, "requirements.txt");
  await writeFile(requirements, requirement(wheel));
  await run("python3", ["-m", "pip", ...downloadArguments(wheel, requirements, folder)]);
  const name = (await readdir(folder)).find((entry) => entry.endsWith(".whl"));
  if (name === undefined) throw new Error(`pip downloaded no wheel of ${wheel.distribution}`);
  return join(folder, name);
}

/** Downloads and unpacks the wheel to `target` ({lib,include}); `target` appears as a whole or not at all. */
export async function unpackLibraries(wheel: Wheel, target: string, say: (text: string) => void): Promise<void> {
  const parent = join(target, "..");
  await mkdir(parent, { recursive: true });
  const work = await mkdtemp(join(parent, ".work-"));
  try {
    say(`downloading ${wheel.distribution} ${wheel.version} (${wheel.platform}) from PyPI, checked by sha256`);
    const file = await download(wheel, work);
    say("unpacking and stripping its libraries");
    const unpacked = join(work, "unpacked");
    await run("python3", [UNPACK, file, unpacked]);
    await rm(file);
    const lib = join(unpacked, "lib");
    for (const name of await readdir(lib)) {
      await chmod(join(lib, name), 0o755);
      await run("strip", ["--strip-unneeded", join(lib, name)]);
    }
    for (const [link, name] of Object.entries(LINK_NAMES)) await symlink(name, join(lib, link));
    await rm(target, { recursive: true, force: true });
    await rename(unpacked, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
