/** What an optimization starts from: the model, checked, and the examples. */
import type { LayersModel } from "@tensorflow/tfjs";
import { type ArtefactManifest, isDocument } from "../../crds/contract/artefact.ts";
import type { OptimizationRun } from "../../crds/contract/run.ts";
import type { Dataset } from "../data/dataset.ts";
import { loadDataset } from "../data/load.ts";
import type { Tf } from "../engine/backend.ts";
import { Failure } from "../failure.ts";
import { loadLayers } from "../formats/model.ts";
import { signatureOf } from "../formats/signature.ts";
import { type StoredModel, storeLayersModel } from "../formats/tfjs-layers.ts";
import { type Artefact, openArtefact } from "../store/artefact.ts";
import { filesDigest } from "../store/files.ts";
import { resolveInput } from "../store/uri.ts";
import { requireSameShape } from "../training/datasets.ts";
import { type Objective, checkLabels } from "../training/objective.ts";
import { allowsDerivatives } from "./licence.ts";
import type { Measurable } from "./measure.ts";
import { exampleShapeOf, objectiveOf } from "./objective.ts";

export interface Inputs {
  source: Artefact;
  test: Dataset;
  train?: Dataset;
  /** Examples by which ranges of activations are found; default: those of training. */
  calibration?: Dataset;
  /** Digest of the files that training learns from. */
  trainDigest?: string;
}

/** Throws Failure LicenceForbidsDerivatives. */
function checkLicence({ manifest }: Artefact, uri: string): void {
  const licence = manifest?.licence;
  if (licence === undefined || allowsDerivatives(licence)) return;
  throw new Failure(
    "LicenceForbidsDerivatives",
    `${uri} is licensed under ${licence}, which forbids derivatives such as a smaller model; use another model, or ask its owner for another licence`,
  );
}

/** Throws Failure: InputMissing, DigestMismatch, LicenceForbidsDerivatives, DataRejected. */
export async function loadInputs({ model, optimization }: OptimizationRun, volumes: string): Promise<Inputs> {
  const folder = await resolveInput(model.uri, volumes, model);
  const source = await openArtefact(folder, { digest: model.digest, shownAs: model.uri });
  checkLicence(source, model.uri);
  const { dataset: test } = await loadDataset(optimization.dataset.test, volumes, "spec.dataset.test");
  const load = async (name: "train" | "calibration") => {
    const declared = optimization.dataset[name];
    if (declared === undefined) return undefined;
    const loaded = await loadDataset(declared, volumes, `spec.dataset.${name}`);
    requireSameShape(loaded.dataset, test);
    return loaded;
  };
  const [train, calibration] = [await load("train"), await load("calibration")];
  return {
    source,
    test,
    ...(train === undefined ? {} : { train: train.dataset, trainDigest: filesDigest(train.files) }),
    ...(calibration === undefined ? {} : { calibration: calibration.dataset }),
  };
}

/** The source model. */
export interface Source extends Measurable {
  stored: StoredModel;
  objective: Objective;
  signature: ArtefactManifest["signature"];
}

/** Goals that an accuracy decides. */
const OF_ACCURACY = ["maxAccuracyDrop", "minAccuracy"] as const;

function check({ goals }: OptimizationRun["optimization"], model: LayersModel, objective: Objective, inputs: Inputs) {
  const shape = exampleShapeOf(model);
  const size = model.outputs[0]?.shape.at(-1) ?? 1;
  for (const dataset of [inputs.test, inputs.train, inputs.calibration]) {
    if (dataset === undefined) continue;
    if (dataset.exampleShape.join() !== shape.join()) {
      const [found, wanted] = [dataset.exampleShape, shape].map((part) => `[${part.join(", ")}]`);
      throw new Failure(
        "DataRejected",
        `${dataset.source} has examples of shape ${found}, but the model takes ${wanted}; use the data that it was trained for`,
      );
    }
    checkLabels(objective, size, dataset);
  }
  const wrong = OF_ACCURACY.find((goal) => goals[goal] !== undefined);
  if (wrong !== undefined && objective.metrics.length === 0) {
    throw new Failure(
      "InvalidSpec",
      `spec.goals.${wrong}: a model with loss ${objective.loss} has no accuracy; use maxLossIncrease`,
    );
  }
}

/** Loads the source's layers. Throws Failure: ModelUnsupported, DataRejected, InvalidSpec. */
export async function openSource(tf: Tf, run: OptimizationRun, inputs: Inputs): Promise<Source> {
  const { source } = inputs;
  const model = await loadLayers(tf, source.dir, run.model.uri);
  const objective = objectiveOf(source, model, run.model.uri);
  check(run.optimization, model, objective, inputs);
  const stored = await storeLayersModel(tf, model);
  const parameters = model.countParams();
  const signature = signatureOf(model);
  model.dispose();
  const files = source.files.filter((file) => !isDocument(file)).map(({ path }) => path);
  return { stored, objective, dir: source.dir, shownAs: run.model.uri, parameters, files, signature };
}
