import { join } from "node:path";
import type { Cluster } from "../test/cluster/cluster.ts";
import { cacheFolder } from "../test/cluster/places.ts";
import { buildImage } from "./build.ts";
import type { BuiltImage, Builder } from "./build.ts";
import type { ImageName, Variant } from "./contents.ts";
import { dockerAnswers } from "./docker.ts";

export type LoadOptions = {
  variant?: Variant;
  builder?: Builder | undefined;
  base?: string | undefined;
};

/** Builds an image, if it changed. Docker is used where it answers. */
export async function build(
  image: ImageName,
  log: (line: string) => void,
  { variant = "cpu", builder, base }: LoadOptions = {},
): Promise<BuiltImage> {
  return buildImage({
    image,
    variant,
    builder: builder ?? ((await dockerAnswers()) ? "docker" : "buildah"),
    root: join(import.meta.dirname, ".."),
    folder: join(cacheFolder(process.env), "images"),
    base,
    log,
  });
}

/** Builds both images, makes them known to the cluster's node, and returns their names there. */
export async function loadImages(
  cluster: Cluster,
  log: (line: string) => void,
  options: LoadOptions = {},
): Promise<Record<ImageName, string>> {
  const operator = await build("operator", log, options);
  const runtime = await build("runtime", log, options);
  await load(cluster, "operator", operator, log);
  await load(cluster, "runtime", runtime, log);
  return { operator: operator.reference, runtime: runtime.reference };
}

/** Under a name that stands for these contents alone, so that a new image rolls out, and as `dev` for trying things by hand. */
async function load(cluster: Cluster, name: ImageName, image: BuiltImage, log: (line: string) => void): Promise<void> {
  if (await cluster.hasImage(image.reference)) return;
  log(`Loading ${image.reference} (${megabytes(image.size)})`);
  await cluster.importImage(image.archive, image.reference, `localhost/modelwright/${name}:dev`);
}

export const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
