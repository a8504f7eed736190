/** What regularizers add to the loss. */
import type { LayersModel, Scalar } from "@tensorflow/tfjs";
import type { Tf } from "../engine/backend.ts";

/** The sum of all penalties on weights; undefined where no layer has a regularizer. */
export function penaltyOf(tf: Tf, model: LayersModel): Scalar | undefined {
  const penalties = model.calculateLosses();
  if (penalties.length === 0) return undefined;
  return penalties.reduce((sum, one) => tf.add<Scalar>(sum, one));
}
