/** What computes, as serving sees it; the process, the engine and the format behind it may change. */
import type { ServingEngineChoice } from "../../crds/common.ts";
import type { Exit } from "../engine/child.ts";
import type { Signature, Tensor } from "./tensor.ts";

export interface ModelToLoad {
  /** Local folder, verified. */
  readonly dir: string;
  /** The URI that messages name. */
  readonly shownAs: string;
  readonly engine: ServingEngineChoice;
  readonly threads?: number | undefined;
  /** Present: a GPU was asked for. */
  readonly gpu?: { readonly onMissing: "Fail" | "UseCpu" } | undefined;
  /** SavedModels are programs; without this they are refused. */
  readonly allowSavedModel?: boolean | undefined;
}

export interface LoadedModel {
  readonly signature: Signature;
  /** All of them by name, where clients may choose. */
  readonly signatures?: Readonly<Record<string, Signature>> | undefined;
  /** Of the model's files, as artefacts name it. */
  readonly format?: string | undefined;
  readonly engine: string;
  /** What really computes: `CPU` or the GPU's name. */
  readonly device: string;
  /** Why it is this engine, and how the model is computed on it. */
  readonly why?: string | undefined;
}

export interface InferenceEngine {
  /** Throws Failure. */
  load(model: ModelToLoad): Promise<LoadedModel>;
  /**
   * Inputs and outputs in the order of the signature, or of the one of `signatures` that is named. Throws RequestError
   * NotReady when the engine ends meanwhile.
   */
  infer(inputs: readonly Tensor[], signatureName?: string): Promise<readonly Tensor[]>;
  /** Most memory that the engine has used, bytes; 0 when it is not known yet. */
  readonly peakMemoryBytes: number;
  /** Memory that it has now, bytes; 0 when it is not known yet. */
  readonly memoryBytes: number;
  /** Process that computes, where it is one of its own. */
  readonly pid?: number | undefined;
  /** Resolves when the engine has ended, closed or not. */
  readonly ended: Promise<Exit>;
  close(): Promise<void>;
}

export type StartEngine = () => InferenceEngine;
