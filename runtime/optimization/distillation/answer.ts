/** What a model answers before its last activation: what teacher and student compare. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { StoredModel } from "../../formats/tfjs-layers.ts";
import type { Objective } from "../../training/objective.ts";
import { answeringLayer, copyOf, layerEntry } from "../topology.ts";
import type { AnswerKind } from "./loss.ts";

export interface Lesson {
  kind: AnswerKind;
  /** The loss on labels of what a model then answers. */
  objective: Objective;
  /** A stored model of the same layers that answers as `kind` says. */
  unactivated: (stored: StoredModel) => StoredModel;
}

const KINDS: Partial<Record<string, AnswerKind>> = { softmax: "Classes", sigmoid: "Binary" };

const unchanged = (stored: StoredModel) => stored;

/** How the answers of `model`, which was trained for `objective`, are compared. */
export function lessonOf(model: LayersModel, stored: StoredModel, trainedFor: Objective): Lesson {
  const objective = { ...trainedFor, metrics: [] };
  const { loss, lossOptions } = objective;
  const place = answeringLayer(model);
  const isCrossentropy = loss.endsWith("rossentropy");
  if (isCrossentropy && lossOptions?.fromLogits === true) {
    return { kind: loss.startsWith("binary") ? "Binary" : "Classes", objective, unactivated: unchanged };
  }
  const entry = place === undefined ? undefined : layerEntry(stored.topology, place.path, place.name);
  const isSoftmax = entry?.class_name === "Softmax";
  const kind = KINDS[isSoftmax ? "softmax" : String(entry?.config["activation"])];
  // Numbers are compared as they are.
  if (!isCrossentropy || place === undefined || kind === undefined) {
    return { kind: "Values", objective, unactivated: unchanged };
  }
  return {
    kind,
    objective: { ...objective, lossOptions: { ...lossOptions, fromLogits: true } },
    unactivated: (other) => {
      const topology = copyOf(other.topology);
      const layer = layerEntry(topology, place.path, place.name);
      if (layer !== undefined && isSoftmax) layer.class_name = "Activation";
      if (layer !== undefined) layer.config["activation"] = "linear";
      return { ...other, topology };
    },
  };
}
