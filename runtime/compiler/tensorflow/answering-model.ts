/** A layers model compiled to answer through TensorFlow's graph, which is several times faster than layer by layer. */
import type { LayersModel, Tensor } from "@tensorflow/tfjs";
import type { Tf } from "../../engine/backend.ts";
import { type NotCompiled, lowerModel } from "../lowering/model.ts";
import { Program } from "./program.ts";
import { SavedModelWriter } from "./saved-model.ts";

export interface AnsweringModel {
  /** Inputs and outputs in the model's order; both are the caller's to dispose. */
  predict(inputs: readonly Tensor[]): Tensor[];
  dispose(): void;
}

export type Compilation = { model: AnsweringModel; notCompiled?: never } | { model?: never; notCompiled: NotCompiled };

/** The layers model is not needed after that. The engine must be TensorFlow. */
export async function compileToAnswer(tf: Tf, source: LayersModel): Promise<Compilation> {
  const { model: lowered, notCompiled } = lowerModel(source);
  if (notCompiled !== undefined) return { notCompiled };
  const { weights, answer } = lowered;
  const variables = weights.map(({ name, shape }) => ({ name, shape, dtype: "float32" as const }));
  const writer = new SavedModelWriter(variables);
  writer.add("serve", answer);
  writer.addAccess(variables);
  const program = await Program.load(tf, writer);
  program.write(weights.map(({ variable }) => variable));
  const model: AnsweringModel = {
    predict: (inputs) => {
      const named = Object.fromEntries(
        answer.inputs.map(({ name }, index): [string, Tensor | undefined] => [name, inputs[index]]),
      );
      const outputs = program.call("serve", named as Record<string, Tensor>);
      return answer.outputs.map(({ name }) => outputs[name] as Tensor);
    },
    dispose: () => program.dispose(),
  };
  return { model };
}
