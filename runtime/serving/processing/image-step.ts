/** Pictures to tensors, through sharp (libvips), whose threads decode while this one answers. */
import sharp from "sharp";
import type { InputStep } from "../../../crds/serving.ts";
import { RequestError, refuse } from "../request-error.ts";
import { type TensorSpec, isNumeric } from "../tensor.ts";
import { type TensorStep, misfit } from "./pipeline.ts";

type ImageSettings = NonNullable<InputStep["image"]>;

/** A picture of more pixels is refused before it is decoded. */
const MAX_PIXELS = 64 * 1024 * 1024;
const DECODE_SECONDS = 10;
const FITS = { Fill: "fill", Cover: "cover", Contain: "contain" } as const;

// Whatever libvips can read besides: it is never asked to. The cache would only hold what is seen once.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({ operation: ["VipsForeignLoadJpegBuffer", "VipsForeignLoadPngBuffer"] });
sharp.cache(false);
// One thread for a picture: several pictures are decoded beside each other, and the engine needs the processors too.
sharp.concurrency(1);

export function imageStep(settings: ImageSettings, made: TensorSpec, field: string): TensorStep {
  const { width, height, channels } = settings;
  const size = height * width * channels;
  const shape = [height, width, channels];
  const [, ...rest] = made.shape;
  const flat = rest.length === 1 && rest[0] === size;
  const fits = rest.length === 3 && rest.every((length, index) => length === -1 || length === shape[index]);
  if (made.datatype !== "FP32" || !(fits || flat)) throw misfit(field, made, `FP32 [-1,${shape.join(",")}]`);
  return {
    outer: { name: made.name, datatype: "BYTES", shape: [-1] },
    apply: async ({ name, data }) => {
      const pictures = isNumeric(data) ? [] : data;
      const values = new Float32Array(pictures.length * size);
      const decoded = await Promise.all(pictures.map((bytes, index) => decode(bytes, settings, name, index)));
      for (const [index, pixels] of decoded.entries()) values.set(pixels, index * size);
      return [{ name, datatype: "FP32", shape: [pictures.length, ...(flat ? [size] : shape)], data: values }];
    },
  };
}

async function decode(
  bytes: Uint8Array,
  { width, height, channels, fit }: ImageSettings,
  input: string,
  index: number,
): Promise<Uint8Array> {
  const picture = `input '${input}': element ${index}`;
  if (!isJpegOrPng(bytes)) refuse(`${picture} is no JPEG or PNG`);
  try {
    const image = sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: "error", pages: 1 })
      .timeout({ seconds: DECODE_SECONDS })
      .autoOrient()
      .flatten({ background: "#000000" })
      .resize({ width, height, fit: FITS[fit], background: "#000000" })
      .toColourspace(channels === 1 ? "b-w" : "srgb");
    const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    if (info.channels !== channels) throw new RangeError(`it has ${info.channels} channels`);
    return data;
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
    throw new RequestError("InvalidRequest", `${picture} cannot be decoded: ${why}`, { cause });
  }
}

function isJpegOrPng(bytes: Uint8Array): boolean {
  const [a, b, c, d] = bytes;
  return (a === 0xff && b === 0xd8 && c === 0xff) || (a === 0x89 && b === 0x50 && c === 0x4e && d === 0x47);
}
