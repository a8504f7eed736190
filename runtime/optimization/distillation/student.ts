/** The smaller model that learns from a larger one. */
import type { LayersModel, SymbolicTensor } from "@tensorflow/tfjs";
import type { Distil } from "../../../crds/optimization-methods.ts";
import type { Tf } from "../../engine/backend.ts";
import { Failure } from "../../failure.ts";
import { type StoredModel, storeLayersModel } from "../../formats/tfjs-layers.ts";
import { buildModel, checkModel } from "../../training/layers.ts";
import type { Objective } from "../../training/objective.ts";
import { analyse } from "../channels/analysis.ts";
import { removeChannels } from "../channels/removal.ts";
import { leastImportant } from "../channels/selection.ts";
import { weightsOf } from "../channels/weights.ts";
import type { TfLayer } from "../walk.ts";

/** Layers that only bring features into the form that a model takes. */
const PREPARING = new Set(["Rescaling", "Reshape", "OpenReshape", "Normalization"]);

/** The teacher's first layers, as long as they prepare features one after the other. */
function preparing(teacher: LayersModel): TfLayer[] {
  const found: TfLayer[] = [];
  let [tensor] = teacher.inputs;
  while (tensor !== undefined) {
    // The node of an input takes what it gives.
    const takers = teacher.layers.filter((layer) => layer.getClassName() !== "InputLayer");
    const followers = takers.filter((layer) =>
      layer.inboundNodes.some((node) => node.inputTensors.some((input) => input.id === tensor?.id)),
    );
    const [layer] = followers;
    if (layer === undefined || followers.length > 1 || !PREPARING.has(layer.getClassName())) return found;
    found.push(layer);
    tensor = layer.inboundNodes[0]?.outputTensors[0];
  }
  return found;
}

type Declared = Extract<Distil["student"], { layers: unknown }>["layers"];

/** The declared layers behind those of the teacher that prepare features. */
async function declared(tf: Tf, teacher: LayersModel, layers: Declared, objective: Objective, seed: number) {
  const head = preparing(teacher);
  const shape = (head.at(-1)?.outputShape ?? teacher.inputs[0]?.shape ?? []) as (number | null)[];
  const exampleShape = shape.slice(1).map((size) => size ?? -1);
  const declaration = { preprocessing: [], model: { layers }, loss: objective.loss, metrics: [] };
  const { size } = checkModel(declaration, { exampleShape });
  const wanted = teacher.outputs[0]?.shape.at(-1);
  if (size !== wanted) {
    throw new Failure(
      "InvalidSpec",
      `spec.methods: the student's last layer gives ${size} numbers where its teacher gives ${wanted}; give it ${wanted} units`,
    );
  }
  const body = buildModel(tf, declaration, exampleShape, seed);
  const input = tf.input({ shape: (teacher.inputs[0]?.shape ?? []).slice(1), name: "input" });
  const chain = [...head, ...body.layers.filter((layer) => layer.getClassName() !== "InputLayer")];
  const output = chain.reduce<SymbolicTensor>((tensor, layer) => layer.apply(tensor) as SymbolicTensor, input);
  const stored = await storeLayersModel(tf, tf.model({ inputs: input, outputs: output, name: "student" }));
  body.dispose();
  return stored;
}

/**
 * The student as it begins: the teacher's strongest units, or declared layers with weights drawn by the seed.
 * Throws Failure InvalidSpec.
 */
export async function studentOf(
  tf: Tf,
  teacher: LayersModel,
  stored: StoredModel,
  { student }: Distil,
  { objective, seed }: { objective: Objective; seed: number },
): Promise<StoredModel> {
  if (student.layers !== undefined) return declared(tf, teacher, student.layers, objective, seed);
  const analysis = analyse(teacher);
  return removeChannels(stored, analysis, leastImportant(analysis, weightsOf(stored), 1 - student.scale, "L2Norm"));
}
