import { describe, expect, it } from "@jest/globals";
import type { PodRecord } from "../pods/pod-record.ts";
import { pod } from "../testing/objects.ts";
import { DepartedPods } from "./departed.ts";

const JOB = "uid-of-job";
const ENDED = { exitCode: 143, message: "{}" };

function ofJob(name: string, more: Partial<PodRecord> = {}, job = JOB): PodRecord {
  const record = pod({ name, ended: ENDED, ...more });
  const owner = { apiVersion: "batch/v1", kind: "Job", name: job, uid: job, controller: true };
  return { ...record, metadata: { ...record.metadata, ownerReferences: [owner] } };
}

/** Each Job is there and has its uid for a name, but this one. */
const REMOVED = "uid-of-removed";
const jobs = {
  get: (_namespace: string, name: string) =>
    name === REMOVED ? undefined : { metadata: { ...pod().metadata, uid: name } },
};

const went = (before: PodRecord) => ({ key: before.metadata.name, before, after: undefined, initial: false });
const names = (pods: readonly PodRecord[]) => pods.map(({ metadata }) => metadata.name);

describe("a pod of a run that has gone", () => {
  it("is kept with what it said last, until that was heard", () => {
    const departed = new DepartedPods(jobs);
    const first = ofJob("first");
    departed.podChanged(went(first));
    departed.podChanged(went(ofJob("second")));
    departed.podChanged(went(ofJob("other", {}, "uid-of-another")));
    expect(names(departed.of(JOB))).toEqual(["first", "second"]);
    expect(departed.forget([first, pod({ name: "alive" })])).toBe(true);
    expect(names(departed.of(JOB))).toEqual(["second"]);
    expect(departed.forget([first])).toBe(false);
    expect(names(departed.of("uid-of-another"))).toEqual(["other"]);
  });

  it("is not kept when it did not end, is still there, belongs to no Job, or its Job has gone", () => {
    const departed = new DepartedPods(jobs);
    departed.podChanged(went(ofJob("alive", { ended: undefined })));
    departed.podChanged({ ...went(ofJob("there")), after: ofJob("there") });
    departed.podChanged(went(pod({ name: "served", ended: ENDED })));
    departed.podChanged(went(ofJob("last", {}, REMOVED)));
    expect(departed.of(REMOVED)).toEqual([]);
    departed.podChanged(went(ofJob("deleted")));
    expect(names(departed.of(JOB))).toEqual(["deleted"]);
    departed.jobChanged({ ...went(ofJob("job")), before: { metadata: { uid: JOB } } });
    expect(departed.of(JOB)).toEqual([]);
  });

  it("makes room for newer ones when there are too many", () => {
    const departed = new DepartedPods(jobs, 3);
    for (const job of ["a", "b", "c", "d"]) departed.podChanged(went(ofJob(`of-${job}`, {}, job)));
    departed.podChanged(went(ofJob("again", {}, "b")));
    expect(["a", "b", "c", "d"].map((job) => names(departed.of(job)))).toEqual([[], ["of-b", "again"], [], ["of-d"]]);
  });
});
