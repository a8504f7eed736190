import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../test/cluster/command.ts";
import { ensurePackages } from "../test/cluster/packages.ts";
import { baseKey, ensureBase } from "./base.ts";
import { Buildah } from "./buildah.ts";
import { contents } from "./contents.ts";
import type { ImageName, Part, Variant } from "./contents.ts";
import { dockerBuild } from "./docker.ts";
import { digest } from "./files.ts";
import { revision } from "./revision.ts";
import { partKeys, stage } from "./stage.ts";

export const builders = ["docker", "buildah"] as const;
export type Builder = (typeof builders)[number];

export type BuildOptions = {
  image: ImageName;
  variant: Variant;
  builder: Builder;
  /** The repository. */
  root: string;
  /** Where archives, the base and the builder's store are kept. */
  folder: string;
  /** An image to build on, instead of the Dockerfile's (docker) or our own (buildah). */
  base?: string | undefined;
  log: (line: string) => void;
};

export type BuiltImage = {
  /** Its name; the tag stands for exactly these contents. */
  reference: string;
  /** An OCI or Docker archive with this name in it. */
  archive: string;
  /** Of all layers, in bytes. */
  size: number;
};

/** Builds an image, unless the archive of one with the same contents is there already. */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  const { image, variant, builder, root, folder, base, log } = options;
  await mkdir(folder, { recursive: true });
  if (contents[image].engine && builder === "buildah") await buildEngine(root, variant, log);
  const keys = await imageInputs(options);
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
  const suffix = contents[image].engine && variant !== "cpu" ? `-${variant}` : "";
  const key = digest(keys, builder, base ?? (builder === "buildah" ? baseKey : ""), version).slice(0, 12);
  const reference = `localhost/modelwright/${image}:${version}-${key}${suffix}`;
  const archive = join(folder, `${image}${suffix}-${key}.tar`);
  if (!existsSync(archive)) {
    log(`Building ${reference} with ${builder}`);
    const args = {
      VERSION: version,
      REVISION: await revision(root, [...contents[image].sources, "images", "package-lock.json"]),
      ...(contents[image].engine ? { VARIANT: variant } : {}),
    };
    const part = `${archive}.part`;
    if (builder === "docker")
      await withDocker(options, reference, base === undefined ? args : { ...args, BASE: base }, part);
    else await withBuildah(options, reference, args, part);
    await removeArchives(folder, `${image}${suffix}-`);
    await rename(part, archive);
  }
  return { reference, archive, size: (await stat(archive)).size };
}

async function withDocker(
  { image, root }: BuildOptions,
  tag: string,
  args: Record<string, string>,
  archive: string,
): Promise<void> {
  await dockerBuild({ dockerfile: join(root, "images", image, "Dockerfile"), context: root, tag, args, archive });
}

/** The same Dockerfile, with its first two stages given: our staged files, and an image of what changes rarely. */
async function withBuildah(
  options: BuildOptions,
  tag: string,
  args: Record<string, string>,
  archive: string,
): Promise<void> {
  const { image, root, folder, base, log } = options;
  await ensurePackages(["buildah", "debootstrap"], "to build images without Docker", { log });
  const buildah = await Buildah.open(join(folder, "store"));
  const staged = join(folder, "build");
  const { program: _, ...rare } = await stage({ ...options, out: join(staged, "stage") });
  const BASE = base ?? (await ensureBase(buildah, folder, log));
  const dockerfile = join(root, "images", image, "Dockerfile");
  const build = { dockerfile, context: join(root, "images", image), args: { ...args, BASE }, pull: base !== undefined };
  const foundation = `localhost/modelwright/${image}-foundation:${digest(rare, BASE, await readFile(dockerfile, "utf8"))}`;
  if (!(await buildah.has(foundation))) {
    await buildah.build({ ...build, tag: foundation, target: "foundation", layers: true, stages: { build: staged } });
    await buildah.keepOnly(foundation);
  }
  const stages = { build: staged, foundation: `docker-image://${foundation}` };
  await buildah.build({ ...build, tag, layers: false, stages });
  await buildah.keepOnly(tag);
  await buildah.save(tag, archive);
}

/** What the image is made of. */
async function imageInputs(options: BuildOptions): Promise<[Partial<Record<Part, string>>, string]> {
  const dockerfile = await readFile(join(options.root, "images", options.image, "Dockerfile"), "utf8");
  return [await partKeys(options), dockerfile];
}

async function buildEngine(root: string, variant: Variant, log: (line: string) => void): Promise<void> {
  const program = join(root, "runtime/engine/build/main.ts");
  const output = await command(process.execPath, [program, "--variant", variant], { cwd: root });
  for (const line of output.split("\n").filter(Boolean)) log(line);
}

/** Archives are large, and only the newest of an image is wanted. */
async function removeArchives(folder: string, prefix: string): Promise<void> {
  const old = new RegExp(`^${prefix}[0-9a-f]{12}\\.tar$`);
  for (const file of await readdir(folder)) if (old.test(file)) await rm(join(folder, file));
}
