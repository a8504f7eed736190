/** Makes tfjs know the layers and activations that it lacks. */
import type { Tf } from "../../engine/backend.ts";
import { activationClasses } from "./activation.ts";
import { additiveAttention, attention } from "./attention.ts";
import { axisBatchNormalization } from "./batch-normalization.ts";
import {
  conv1dTranspose,
  depthwiseConv1d,
  dilatedDepthwiseConv2d,
  groupedConvolutions,
  separableConv1d,
} from "./convolution.ts";
import { croppings } from "./cropping.ts";
import { scaledElu } from "./elu.ts";
import { layerClass } from "./definition.ts";
import { einsumDense } from "./einsum-dense.ts";
import { globalPoolings } from "./global-pooling.ts";
import { groupNormalization } from "./group-normalization.ts";
import { gruResetAfter } from "./gru.ts";
import { identity } from "./identity.ts";
import { multiHeadAttentions } from "./multi-head-attention.ts";
import { alphaDropout, gaussianDropout, gaussianNoise } from "./noise.ts";
import { normalization } from "./normalization.ts";
import { operation } from "./operation.ts";
import { sloped } from "./re-lu.ts";
import { openReshape } from "./reshape.ts";
import { centerCrop, resizing } from "./resizing.ts";
import { rmsNormalization } from "./rms-normalization.ts";
import { axisSoftmax } from "./softmax.ts";
import { spatialDropouts } from "./spatial-dropout.ts";
import { subtract } from "./subtract.ts";
import { unitNormalization } from "./unit-normalization.ts";
import { upSamplings } from "./up-sampling.ts";
import { zeroPaddings } from "./zero-padding.ts";

const done = new WeakSet<Tf>();

/** Once for each tfjs. */
export function registerLayers(tf: Tf): void {
  if (done.has(tf)) return;
  done.add(tf);
  const classes = [
    ...activationClasses(tf),
    layerClass(tf, additiveAttention),
    layerClass(tf, alphaDropout),
    layerClass(tf, attention),
    layerClass(tf, axisBatchNormalization),
    layerClass(tf, axisSoftmax),
    layerClass(tf, centerCrop),
    layerClass(tf, conv1dTranspose),
    layerClass(tf, depthwiseConv1d),
    layerClass(tf, dilatedDepthwiseConv2d),
    layerClass(tf, einsumDense),
    layerClass(tf, gaussianDropout),
    layerClass(tf, gaussianNoise),
    layerClass(tf, groupNormalization),
    layerClass(tf, identity),
    layerClass(tf, normalization),
    layerClass(tf, openReshape),
    layerClass(tf, operation),
    layerClass(tf, resizing),
    layerClass(tf, rmsNormalization),
    layerClass(tf, scaledElu),
    layerClass(tf, separableConv1d),
    layerClass(tf, sloped),
    layerClass(tf, subtract),
    layerClass(tf, unitNormalization),
    ...croppings.map((one) => layerClass(tf, one)),
    ...globalPoolings.map((one) => layerClass(tf, one)),
    ...groupedConvolutions.map((one) => layerClass(tf, one)),
    ...multiHeadAttentions.map((one) => layerClass(tf, one)),
    ...spatialDropouts.map((one) => layerClass(tf, one)),
    ...upSamplings.map((one) => layerClass(tf, one)),
    ...zeroPaddings.map((one) => layerClass(tf, one)),
    ...Object.values(gruResetAfter(tf)),
  ];
  for (const one of classes) tf.serialization.registerClass(one);
}
