/** A loaded model in the engine's process. */
import type { LoadedModel } from "./inference-engine.ts";
import type { Tensor } from "./tensor.ts";

export interface Executor extends LoadedModel {
  /**
   * Inputs and outputs in the order of the signature, or of the one of `signatures` that is named. Throws Failure;
   * DataRejected when it is the inputs' fault.
   */
  infer(inputs: readonly Tensor[], signatureName?: string): Promise<readonly Tensor[]>;
}
