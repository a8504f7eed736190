/** Images in a folder for each class: labels are the positions of the classes' names in their order. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import type { DataSource } from "../../crds/dataset.ts";
import { listFiles } from "../store/files.ts";
import type { Examples } from "./dataset.ts";
import type { ExampleWriter } from "./example-writer.ts";
import { rejected } from "./rejected.ts";

type Size = NonNullable<DataSource["image"]>;

/** Images that are decoded at the same time. */
const PARALLEL = 8;
const MOST_PIXELS = 100_000_000;
const IMAGE = /\.(png|jpe?g)$/i;
const FORMATS: readonly (string | undefined)[] = ["png", "jpeg"];

/** The image's pixels, 0 to 255, row by row, channels last. Throws Failure DataRejected naming the file. */
async function decode(path: string, { width, height, channels }: Size, shownAs: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  try {
    const image = sharp(bytes, { limitInputPixels: MOST_PIXELS, failOn: "error" });
    const { format } = await image.metadata();
    if (!FORMATS.includes(format)) throw new TypeError("it is neither PNG nor JPEG");
    return await image
      .removeAlpha()
      .toColourspace(channels === 1 ? "b-w" : "srgb")
      .resize(width, height, { fit: "fill", kernel: "linear" })
      .raw({ depth: "uchar" })
      .toBuffer();
  } catch (cause) {
    throw rejected(shownAs, "", "cannot be decoded as PNG or JPEG; replace or remove it", cause);
  }
}

/** Reads all images below `folder`. Throws Failure DataRejected. */
export async function readImageFolder(
  folder: string,
  { image, source }: { image: Size; source: string },
  writer: ExampleWriter,
): Promise<Examples> {
  const files = await listFiles(folder);
  const stray = files.find((file) => !file.includes("/") || !IMAGE.test(file));
  if (stray !== undefined) {
    throw rejected(
      `${source}/${stray}`,
      "",
      "is no image in the folder of a class; it must hold folders of PNG and JPEG files",
    );
  }
  const classes = [...new Set(files.map((file) => file.split("/")[0] ?? ""))].toSorted();
  const length = image.width * image.height * image.channels;
  for (let start = 0; start < files.length; start += PARALLEL) {
    const part = files.slice(start, start + PARALLEL);
    const images = await Promise.all(part.map((file) => decode(join(folder, file), image, `${source}/${file}`)));
    for (const [index, pixels] of images.entries()) {
      if (pixels.length !== length)
        throw rejected(`${source}/${part[index]}`, "", "has other channels; convert it to RGB");
      writer.features(pixels);
      writer.labels([classes.indexOf(part[index]?.split("/")[0] ?? "")]);
    }
  }
  const exampleShape = [image.height, image.width, image.channels];
  return { ...writer.finish({ source, exampleShape }), classes };
}
