/** What the HTTP process and the engine process say to each other. */
import type { FailureReason } from "../../crds/contract/exit-code.ts";
import type { LoadedModel, ModelToLoad } from "./inference-engine.ts";
import type { Tensor } from "./tensor.ts";

export type EngineRequest =
  | { readonly type: "load"; readonly id: number; readonly model: ModelToLoad }
  | {
      readonly type: "infer";
      readonly id: number;
      readonly inputs: readonly Tensor[];
      readonly signatureName?: string | undefined;
    };

export type EngineOutcome =
  | { readonly type: "loaded"; readonly model: LoadedModel }
  | { readonly type: "inferred"; readonly outputs: readonly Tensor[] }
  | { readonly type: "failed"; readonly reason: FailureReason; readonly message: string };

export type EngineReply = EngineOutcome & {
  readonly id: number;
  readonly peakMemoryBytes: number;
  /** Of the process, not older than a second. */
  readonly memoryBytes: number;
};
