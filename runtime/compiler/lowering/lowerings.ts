/** Every class of layer that can be expressed. */
import { attentionLowerings } from "./attention.ts";
import { convolutionLowerings } from "./convolution.ts";
import { coreLowerings } from "./core.ts";
import type { AnyLowering } from "./definition.ts";
import { normalizationLowerings } from "./normalization.ts";
import { recurrentLowerings } from "./recurrent.ts";
import { shapeLowerings } from "./shape.ts";
import { spatialDropoutLowerings } from "./spatial-dropout.ts";

export const lowerings: ReadonlyMap<string, AnyLowering> = new Map(
  Object.entries({
    ...attentionLowerings,
    ...convolutionLowerings,
    ...coreLowerings,
    ...normalizationLowerings,
    ...recurrentLowerings,
    ...shapeLowerings,
    ...spatialDropoutLowerings,
  }),
);
