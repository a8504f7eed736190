import { describe, expect, it } from "@jest/globals";
import { resolveModel, type SourceJob } from "./model-reference.ts";
import { digest } from "./testing/objects.ts";

const self = { kind: "ModelDeployment", metadata: { name: "digits" } };
const from = { kind: "TrainingJob", name: "source" } as const;
const artefact = { uri: "pvc://models/source/run", digest: digest("a"), format: "TfjsLayers", bytes: 1 };
const lookup = (job: SourceJob | undefined) => () => job;

describe("the model of a reference", () => {
  it("is the URI that is given, with its digest where there is one", () => {
    expect(resolveModel({ uri: "pvc://a/b" }, self, lookup(undefined))).toEqual({
      state: "Known",
      model: { uri: "pvc://a/b" },
    });
    expect(resolveModel({ uri: "pvc://a/b", digest: digest("1") }, self, lookup(undefined))).toEqual({
      state: "Known",
      model: { uri: "pvc://a/b", digest: digest("1") },
    });
  });

  it("is reached as the job reached it", () => {
    const access = { credentials: { secretName: "store" }, endpoint: "https://store.lab", region: "eu" };
    const stored = { ...artefact, uri: "s3://models/source/run", ...access };
    expect(resolveModel({ from }, self, lookup({ status: { artefact: stored } }))).toEqual({
      state: "Known",
      model: { uri: stored.uri, digest: stored.digest, ...access },
    });
  });

  it("is the artefact of the job, also while that job runs again", () => {
    const job = { status: { state: "Training", artefact } };
    expect(resolveModel({ from }, self, lookup(job))).toEqual({
      state: "Known",
      model: { uri: artefact.uri, digest: artefact.digest },
    });
  });

  it.each([
    { what: "does not exist", job: undefined, says: "TrainingJob source does not exist" },
    { what: "has no status", job: {}, says: "no artefact yet (Pending)" },
    { what: "has failed", job: { status: { state: "Failed" } }, says: "no artefact yet (Failed)" },
  ])("is waited for when the job $what", ({ job, says }) => {
    expect(resolveModel({ from }, self, lookup(job))).toEqual({
      state: "Waiting",
      message: expect.stringContaining(says),
    });
  });

  it("is refused when it is not the one that was expected", () => {
    const resolution = resolveModel({ from, digest: digest("b") }, self, lookup({ status: { artefact } }));
    expect(resolution).toMatchObject({ state: "Wrong", failure: { reason: "DigestMismatch" } });
  });

  it("is never the object's own", () => {
    const own = { kind: "TrainingJob", metadata: { name: "source" } };
    expect(resolveModel({ from }, own, lookup({ status: { artefact } }))).toMatchObject({
      state: "Wrong",
      failure: { reason: "InvalidSpec" },
    });
  });
});
