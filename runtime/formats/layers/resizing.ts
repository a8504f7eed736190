/** Resizing and CenterCrop of images, as Keras 3 does them. */
import type { Shape, Tensor, Tensor4D } from "@tensorflow/tfjs";
import { z } from "zod";
import type { Tf } from "../../engine/backend.ts";
import { type Definition, only } from "./definition.ts";
import { ChannelsLast, Size } from "./settings.ts";

const Resize = z.object({
  height: Size,
  width: Size,
  interpolation: z.enum(["bilinear", "nearest"]).default("bilinear"),
  dataFormat: ChannelsLast,
});
const Crop = z.object({ height: Size, width: Size, dataFormat: ChannelsLast });

type Settings = { height: number; width: number };

const outputShape = (shapes: Shape[], { height, width }: Settings): Shape => {
  const [batch = null, , , channels = null] = only(shapes);
  return [batch, height, width, channels];
};

function bilinear(tf: Tf, x: Tensor, { height, width }: Settings): Tensor {
  return tf.image.resizeBilinear(x as Tensor4D, [height, width], false, true);
}

export const resizing: Definition<z.output<typeof Resize>> = {
  className: "CenteredResizing",
  settings: Resize,
  outputShape,
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    if (settings.interpolation === "bilinear") return bilinear(tf, x, settings);
    return tf.image.resizeNearestNeighbor(x as Tensor4D, [settings.height, settings.width], false, true);
  },
};

export const centerCrop: Definition<z.output<typeof Crop>> = {
  className: "ExactCenterCrop",
  settings: Crop,
  outputShape,
  compute: ({ tf, settings, inputs }) => {
    const x = only(inputs);
    const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
    const [top, left] = [height - settings.height, width - settings.width];
    if (top < 0 || left < 0)
      throw new RangeError("CenterCrop of an image that is smaller than the crop is not supported");
    return tf.slice(
      x,
      [0, Math.trunc(top / 2), Math.trunc(left / 2), 0],
      [batch, settings.height, settings.width, channels],
    );
  },
};
