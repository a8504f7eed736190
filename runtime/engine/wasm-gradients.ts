/** Kernels that the wasm backend lacks (or has only in a slow form) for training convolutions, made of kernels that it has. */
import type { Rank, Tensor4D } from "@tensorflow/tfjs";
import type { Tf } from "./backend.ts";

type Shape4D = [number, number, number, number];

interface ConvolutionAttributes {
  strides: [number, number] | number;
  pad: "valid" | "same" | number;
  dataFormat: "NHWC" | "NCHW";
  dimRoundingMode?: "floor" | "round" | "ceil";
}

function convolution(tf: Tf, inputShape: Shape4D, filterShape: Shape4D, attributes: ConvolutionAttributes) {
  const { strides, pad, dataFormat, dimRoundingMode } = attributes;
  if (dataFormat === "NCHW") throw new Error("Gradients of convolutions in NCHW order are not supported by wasm");
  return tf.backend_util.computeConv2DInfo(inputShape, filterShape, strides, 1, pad, dimRoundingMode);
}

/** A convolution of x with dy, with the roles of batch and channels, and of stride and dilation, swapped. */
function filterGradient(tf: Tf, x: Tensor4D, dy: Tensor4D, filterShape: Shape4D, attributes: ConvolutionAttributes) {
  const { padInfo, strideHeight, strideWidth } = convolution(tf, x.shape, filterShape, attributes);
  const { top, bottom, left, right } = padInfo;
  const padded = tf.pad(x, [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]);
  const images = tf.transpose(padded, [3, 1, 2, 0]);
  const filter = tf.transpose(dy, [1, 2, 0, 3]);
  const all = tf.conv2d(images, filter, 1, "valid", "NHWC", [strideHeight, strideWidth]);
  // A stride that does not divide the input leaves rows and columns that no filter weight has seen.
  const [height, width, inChannels, outChannels] = filterShape;
  const seen = tf.slice(all, [0, 0, 0, 0], [inChannels, height, width, outChannels]);
  return tf.transpose(seen, [1, 2, 0, 3]);
}

/** Puts `stride - 1` zeros between rows and between columns. Pads of rank 4 only: wasm has them fast. */
function dilate(tf: Tf, dy: Tensor4D, strideHeight: number, strideWidth: number): Tensor4D {
  const [batch, height, width, channels] = dy.shape;
  const rows = tf.pad(tf.reshape(dy, [batch, height, 1, width * channels]), [
    [0, 0],
    [0, 0],
    [0, strideHeight - 1],
    [0, 0],
  ]);
  const tall = height * strideHeight;
  const columns = tf.pad(tf.reshape(rows, [batch * tall, width, 1, channels]), [
    [0, 0],
    [0, 0],
    [0, strideWidth - 1],
    [0, 0],
  ]);
  const full = tf.reshape<Rank.R4>(columns, [batch, tall, width * strideWidth, channels]);
  const size: Shape4D = [batch, (height - 1) * strideHeight + 1, (width - 1) * strideWidth + 1, channels];
  return tf.slice(full, [0, 0, 0, 0], size);
}

/** A convolution of the dilated dy with the mirrored filter. */
function inputGradient(tf: Tf, dy: Tensor4D, filter: Tensor4D, inputShape: Shape4D, attributes: ConvolutionAttributes) {
  const info = convolution(tf, inputShape, filter.shape, attributes);
  const { padInfo, strideHeight, strideWidth } = info;
  const dilated = strideHeight * strideWidth === 1 ? dy : dilate(tf, dy, strideHeight, strideWidth);
  const [, height, width] = dilated.shape;
  const top = info.filterHeight - 1 - padInfo.top;
  const left = info.filterWidth - 1 - padInfo.left;
  const bottom = info.inHeight + info.filterHeight - 1 - height - top;
  const right = info.inWidth + info.filterWidth - 1 - width - left;
  const padded = tf.pad(dilated, [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ]);
  const mirrored = tf.transpose(tf.reverse(filter, [0, 1]), [0, 1, 3, 2]);
  return tf.conv2d(padded, mirrored, 1, "valid");
}

let registered = false;

/** Registers the kernels for the wasm backend; once per process. */
export function registerWasmGradients(tf: Tf): void {
  if (registered) return;
  registered = true;
  tf.registerKernel({
    kernelName: tf.Conv2DBackpropFilter,
    backendName: "wasm",
    // The engine hands tensors to kernels, though the type names only what all kernels may rely on.
    kernelFunc: ({ inputs, attrs }) => {
      const { x, dy } = inputs as unknown as { x: Tensor4D; dy: Tensor4D };
      const attributes = attrs as unknown as ConvolutionAttributes & { filterShape: Shape4D };
      return tf.tidy(() => filterGradient(tf, x, dy, attributes.filterShape, attributes));
    },
  });
  // wasm's own kernel is a plain loop, several times slower than a convolution.
  tf.unregisterKernel(tf.Conv2DBackpropInput, "wasm");
  tf.registerKernel({
    kernelName: tf.Conv2DBackpropInput,
    backendName: "wasm",
    kernelFunc: ({ inputs, attrs }) => {
      const { dy, filter } = inputs as unknown as { dy: Tensor4D; filter: Tensor4D };
      const attributes = attrs as unknown as ConvolutionAttributes & { inputShape: Shape4D };
      return tf.tidy(() => inputGradient(tf, dy, filter, attributes.inputShape, attributes));
    },
  });
}
