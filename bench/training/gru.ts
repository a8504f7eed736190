/** The GRU that Keras builds by default, which tfjs has no function for. */
import type { layers } from "@tensorflow/tfjs";
import type { Tf } from "../../runtime/engine/backend.ts";
import { gruResetAfter } from "../../runtime/formats/layers/gru.ts";

export function kerasGru(tf: Tf, units: number): layers.Layer {
  // Types know it as what models are loaded with; it is made here as such a model would.
  const Layer = gruResetAfter(tf).layer as unknown as new (config: object) => layers.Layer;
  return new Layer({ units, activation: "tanh", recurrentActivation: "sigmoid" });
}
