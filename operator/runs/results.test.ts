import { trainingRun } from "../../crds/contract/run.ts";
import { ArtefactStatus } from "../../crds/common.ts";
import { digest, trainingJob } from "../testing/objects.ts";
import type { JobReport } from "./observed.ts";
import { reachable } from "./results.ts";

const access = { credentials: { secretName: "store" }, endpoint: "https://store.lab" };
const { output, job } = trainingRun(trainingJob({ output: { uri: "s3://models/digits", licence: "MIT", ...access } }));
const artefact = { uri: output.uri, digest: digest("a"), format: "TfjsLayers", bytes: 1 };
const report: JobReport = {
  kind: "TrainingProgress",
  run: job.run,
  state: "Succeeded",
  progressPercent: 100,
  epoch: 1,
  epochs: 1,
  step: 1,
  artefact,
};

describe("An artefact in an object store", () => {
  it("is reached with what the run was given, so that a deployment can serve it", () => {
    expect(reachable(report, output)).toEqual({ ...artefact, ...access });
    expect(reachable({ ...report, artefact: undefined }, output)).toBeUndefined();
  });

  it("is never reached with what a pod says", () => {
    expect(ArtefactStatus.safeParse(artefact).success).toBe(true);
    expect(ArtefactStatus.safeParse({ ...artefact, credentials: { secretName: "other" } }).success).toBe(false);
  });
});
