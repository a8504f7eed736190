/** `npm run images`: builds the images of operator and runtime, and with `--load` makes them known to the local cluster. */
import { parseArgs } from "node:util";
import { up } from "../test/cluster/cluster.ts";
import { builders } from "./build.ts";
import { imageNames, variants } from "./contents.ts";
import { build, loadImages, megabytes } from "./load.ts";

const usage = `npm run images [-- [${imageNames.join("] [")}] [options]]
  --load               load both images into the local cluster, which is brought up if it is not there
  --variant ${variants.join("|")}    libtensorflow of the runtime image (cpu)
  --builder ${builders.join("|")}  (docker where its engine answers, else buildah)
  --base IMAGE         build on this image
`;

class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "UsageError";
}

function oneOf<T extends string>(name: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((known) => known === value);
  if (found === undefined) throw new UsageError(`${name} must be ${allowed.join(" or ")}, not ${value}`);
  return found;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      load: { type: "boolean", default: false },
      variant: { type: "string", default: "cpu" },
      builder: { type: "string" },
      base: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
    allowPositionals: true,
  });
  if (values.help) return console.log(usage);
  const options = {
    variant: oneOf("--variant", variants, values.variant),
    builder: values.builder === undefined ? undefined : oneOf("--builder", builders, values.builder),
    base: values.base,
  };
  const images = positionals.map((name) => oneOf("an image", imageNames, name));
  if (values.load) {
    if (images.length > 0) throw new UsageError("--load loads both images: name none");
    const loaded = await loadImages(await up(), console.log, options);
    for (const image of imageNames) console.log(`${image}  ${loaded[image]}`);
    return;
  }
  for (const image of images.length === 0 ? imageNames : images) {
    const { reference, archive, size } = await build(image, console.log, options);
    console.log(`${image}  ${reference}  ${megabytes(size)}  ${archive}`);
  }
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof UsageError ? 64 : 1;
});
