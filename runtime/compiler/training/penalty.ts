/** What regularizers add to the loss, as an expression. */
import type { LayersModel } from "@tensorflow/tfjs";
import { z } from "zod";
import { abs, add, multiply, square } from "../expressions/elementwise.ts";
import { all, sum } from "../expressions/reduction.ts";
import type { Value } from "../graph.ts";
import { NotExpressible, type TfLayer } from "../lowering/definition.ts";
import { LayerNotCompiled } from "../lowering/model.ts";
import type { ModelWeight, TrainedModel } from "../lowering/model.ts";
import { allLayers } from "../../formats/computable.ts";

const L1L2 = z.object({ className: z.literal("L1L2"), config: z.object({ l1: z.number(), l2: z.number() }) });

/** Weights by the setting that names their regularizer. */
const WEIGHTS: Record<string, string> = {
  kernelRegularizer: "kernel",
  biasRegularizer: "bias",
  depthwiseRegularizer: "depthwise_kernel",
  pointwiseRegularizer: "pointwise_kernel",
  recurrentRegularizer: "recurrent_kernel",
  embeddingsRegularizer: "embeddings",
  gammaRegularizer: "gamma",
  betaRegularizer: "beta",
};

function ofWeight(value: Value, { l1, l2 }: { l1: number; l2: number }): Value[] {
  return [
    ...(l1 > 0 ? [multiply(sum(abs(value), all(value)), l1)] : []),
    ...(l2 > 0 ? [multiply(sum(square(value), all(value)), l2)] : []),
  ];
}

function ofLayer(layer: TfLayer, trained: TrainedModel, weightOf: (name: string) => ModelWeight | undefined): Value[] {
  return Object.entries(layer.getConfig()).flatMap(([setting, declared]) => {
    if (!setting.endsWith("Regularizer") || declared === null || declared === undefined) return [];
    const penalty = L1L2.safeParse(declared);
    const weight = weightOf(WEIGHTS[setting] ?? "");
    if (penalty.success && weight !== undefined) return ofWeight(trained.valueOf(weight), penalty.data.config);
    throw new LayerNotCompiled(layer, new NotExpressible(`the compiler lacks its ${setting}`));
  });
}

/** The sum of all penalties on weights; undefined where no layer has a regularizer. Throws LayerNotCompiled. */
export function penaltyOf(model: LayersModel, trained: TrainedModel): Value | undefined {
  const penalties = allLayers(model.layers).flatMap((layer) => {
    if ("layers" in layer) return [];
    const own = new Set(layer.weights.map((weight) => weight.read()));
    const weights = trained.weights.filter(({ variable }) => own.has(variable));
    return ofLayer(layer, trained, (name) => weights.find((weight) => weight.name.includes(`/${name}`)));
  });
  return penalties.length === 0 ? undefined : penalties.reduce((total, penalty) => add(total, penalty));
}
