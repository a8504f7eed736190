/** What a model answers before its last activation: what teacher and student compare. */
import type { LayersModel } from "@tensorflow/tfjs";
import type { StoredModel } from "../../formats/tfjs-layers.ts";
import type { Objective } from "../../training/objective.ts";
import { answeringLayer, copyOf, layerEntry } from "../topology.ts";
import type { AnswerKind } from "./loss.ts";

export interface Lesson {
  kind: AnswerKind;
  /** A stored model of the same layers that answers as `kind` says. */
  unactivated: (stored: StoredModel) => StoredModel;
}

const KINDS: Partial<Record<string, AnswerKind>> = { softmax: "Classes", sigmoid: "Binary" };

/** Numbers are compared as they are. */
const VALUES: Lesson = { kind: "Values", unactivated: (stored) => stored };

/** How the answers of `model`, which was trained for `objective`, are compared. */
export function lessonOf(model: LayersModel, stored: StoredModel, objective: Objective): Lesson {
  const place = answeringLayer(model);
  if (place === undefined || !objective.loss.endsWith("rossentropy")) return VALUES;
  const entry = layerEntry(stored.topology, place.path, place.name);
  const isSoftmax = entry?.class_name === "Softmax";
  const activation = isSoftmax ? "softmax" : entry?.config["activation"];
  const kind = KINDS[String(activation)];
  if (kind === undefined) return VALUES;
  return {
    kind,
    unactivated: (other) => {
      const topology = copyOf(other.topology);
      const layer = layerEntry(topology, place.path, place.name);
      if (layer !== undefined && isSoftmax) layer.class_name = "Activation";
      if (layer !== undefined) layer.config["activation"] = "linear";
      return { ...other, topology };
    },
  };
}
