/** The tfjs graph format: a TensorFlow graph as JSON, which is executed operation by operation. */
import type { GraphModel } from "@tensorflow/tfjs";
import { z } from "zod";
import type { ArtefactManifest, Tensor } from "../../crds/contract/artefact.ts";
import type { Tf } from "../engine/backend.ts";
import { datatypeOf } from "./signature.ts";
import type { StoredModel } from "./tfjs-layers.ts";
import { unsupported } from "./unsupported.ts";

const Dimensions = z.looseObject({
  dim: z
    .array(z.looseObject({ size: z.coerce.number().int().min(-1) }))
    .max(8)
    .optional(),
});
const Ends = z.record(z.string(), z.looseObject({ name: z.string(), tensorShape: Dimensions.optional() })).optional();
const Signature = z.looseObject({ inputs: Ends, outputs: Ends }).optional();
const Graph = z.looseObject({ node: z.array(z.looseObject({ op: z.string() })).max(1_000_000) });

/** Operations whose graph must be awaited: what runs depends on values. */
const AWAITED =
  /^(Switch|Merge|Enter|Exit|NextIteration|While|StatelessWhile|If|StatelessIf|Where|NonMaxSuppressionV\d|ListDiff)$/;

export interface LoadedGraph {
  model: GraphModel;
  signature: ArtefactManifest["signature"];
  /** Must its answers be awaited? */
  awaited: boolean;
}

interface End {
  name: string;
  dtype: string;
  shape?: readonly number[] | undefined;
}

const plain = (name: string) => name.replace(/:0$/, "");

/** Inputs or outputs of the graph, by the names that its signature gives them. */
function named(ends: readonly End[], declared: z.output<typeof Ends>): Tensor[] {
  return ends.map(({ name, dtype, shape }) => {
    const [key, end] = Object.entries(declared ?? {}).find(([, one]) => plain(one.name) === plain(name)) ?? [];
    const shown = key ?? plain(name);
    return {
      name: shown,
      datatype: datatypeOf(shown, dtype),
      shape: [...(shape ?? end?.tensorShape?.dim?.map(({ size }) => size) ?? [])],
    };
  });
}

/** Makes the graph ready to compute. Throws Failure ModelUnsupported naming the reason. */
export async function buildGraphModel(tf: Tf, stored: StoredModel, shownAs: string): Promise<LoadedGraph> {
  const graph = Graph.safeParse(stored.topology);
  const signature = Signature.safeParse(stored.graph?.signature);
  if (!graph.success || !signature.success) throw unsupported(shownAs, "holds no graph; convert the model again");
  const artifacts = {
    modelTopology: stored.topology,
    weightSpecs: stored.weightSpecs,
    weightData: stored.weightData,
    // tfjs reads of it what was checked above.
    signature: (signature.data ?? {}) as object,
  };
  let model: GraphModel;
  try {
    model = await tf.loadGraphModel({ load: () => Promise.resolve(artifacts) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw unsupported(shownAs, `cannot be built: ${message.split("\n")[0] ?? ""}`, error);
  }
  return {
    model,
    signature: {
      inputs: named(model.inputs, signature.data?.inputs),
      outputs: named(model.outputs, signature.data?.outputs),
    },
    awaited: graph.data.node.some(({ op }) => AWAITED.test(op)),
  };
}
