import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { readFile } from "node:fs/promises";
import { installedBed, type InstalledBed } from "./operator/field-bed.ts";
import { readCrd } from "./operator/bed.ts";
import { changeField, type Field, fieldsOf, hasField, type Schema } from "./operator/fields.ts";
import { CHANGES, SPECS } from "./operator/specs.ts";

const SCALING = "../../operator/model-deployment/scaling";

const ROUTE = "operator-route.test.ts: follows what spec.route says, and never a revision";

function rollout(fields: Record<string, string>): Record<string, string> {
  const file = "../../operator/model-deployment/rollout/strategies.test.ts";
  return Object.fromEntries(Object.entries(fields).map(([name, title]) => [`rollout.${name}`, `${file}: ${title}`]));
}

/** Fields that act later than at creation, each with the test that shows it. */
const LATER: Record<string, string> = {
  ttlSecondsAfterFinished: "operator-training-job.test.ts: keeps its result when Kubernetes removes the finished Job",
  queueName: "operator-kueue.test.ts: is queued, admitted, preempted and admitted again by Kueue alone",
  "scaling.panicWindow": `${SCALING}/decide.test.ts: follows a doubled load within the panic window`,
  "scaling.scaleToZeroAfter": `${SCALING}/autoscaler.test.ts: lets the last pod go when nobody has asked for long enough`,
  "rollout.revisionHistoryLimit": "operator-rights.test.ts: serves, updates, gives up and cleans up",
  ...rollout({
    strategy: "moves pod by pod, one more than asked for at most, and never one less",
    "steps[].weight": "goes by its steps: first the pods, then the weight, at last the switch",
    "steps[].duration": "goes by its steps: first the pods, then the weight, at last the switch",
    "analysis.maxErrorRate": "is rolled back within ten seconds, and nothing of it is left",
    "analysis.maxLatencyP99": "is slow",
    "analysis.maxLatencyRatio": "is slower than the other",
    "analysis.maxPredictionDrift": "answers otherwise",
    "analysis.minRequests": "waits for enough requests, and is given up when they do not come",
    "shadow.percent": "copies requests in a step without weight",
    "shadow.tolerance": "copies requests in a step without weight",
    autoRollback: "stays where it is when the analysis fails and autoRollback is false, until it is told what to do",
    paused: "waits while it is paused, and goes on where it was",
    pinRevision: "serves whatever the model says, until it is pinned no more",
    "action.type": "is promoted or aborted by an action, once, and for the revision that it names only",
    "action.revision": "is promoted or aborted by an action, once, and for the revision that it names only",
    keepPrevious: "keeps the old pods for a while, which send their clients' requests to the new ones",
    onNoSpareGpu: "swaps after its timeout: the old version makes room",
    gpuWaitTimeout: "fails after its timeout where it is told so",
  }),
  "route.parentRefs[].name": ROUTE,
  "route.parentRefs[].namespace": ROUTE,
  "route.parentRefs[].sectionName": ROUTE,
  "route.parentRefs[].port": ROUTE,
  "route.hostnames[]": ROUTE,
  "rollout.progressDeadline": "operator-model-deployment.test.ts: gives up a version that is not ready in time",
};

/** Fields with one value only: nothing to change to yet. */
const SINGLE: string[] = [];

/** Fields that are looked at beside each other. */
const AT_ONCE = 8;

let bed: InstalledBed;

beforeAll(async () => {
  bed = await installedBed();
}, 90_000);
afterAll(async () => bed.stop(), 30_000);

describe.each(Object.keys(SPECS))("every field of %s", (plural) => {
  it("changes a child or the status when its value changes", async () => {
    const bases = SPECS[plural] ?? [];
    const fields = await specFields(plural);
    expect(fields.length).toBeGreaterThan(20);
    const before = await Promise.all(bases.map((spec, index) => bed.outcome(plural, `base-${index}`, spec)));

    /** The field's path, where its change does nothing. */
    async function idleField(field: Field, number: number): Promise<string[]> {
      if (field.path in LATER || SINGLE.includes(field.path)) return [];
      const index = bases.findIndex((spec) => hasField(spec, field.path));
      if (index === -1) throw new Error(`no spec sets ${field.path}: add it to specs.ts`);
      const spec = structuredClone(bases[index] ?? {});
      const change = CHANGES[field.path];
      if (change !== undefined) change(spec);
      else if (!changeField(spec, field)) throw new Error(`${field.path} has no other value: say so in SINGLE`);
      const after = await bed.outcome(plural, `field-${number}`, spec);
      return after === before[index] ? [field.path] : [];
    }

    const idle: string[] = [];
    for (let start = 0; start < fields.length; start += AT_ONCE) {
      const some = fields.slice(start, start + AT_ONCE).map((field, index) => idleField(field, start + index));
      idle.push(...(await Promise.all(some)).flat());
    }
    expect(idle).toEqual([]);
  }, 600_000);

  it("is known to the lists of this test", async () => {
    const paths = (await specFields(plural)).map(({ path }) => path);
    if (plural === "modeldeployments") expect(paths).toEqual(expect.arrayContaining(["rollout.progressDeadline"]));
    const known = [...(await allPaths())];
    expect([...Object.keys(LATER), ...SINGLE, ...Object.keys(CHANGES)].filter((path) => !known.includes(path))).toEqual(
      [],
    );
  });
});

describe("fields that act later", () => {
  it.each(Object.entries(LATER))("have a test: %s", async (_, where) => {
    const [file = "", title = ""] = where.split(": ");
    expect(await readFile(new URL(file, import.meta.url), "utf8")).toContain(title);
  });
});

async function allPaths(): Promise<Set<string>> {
  const all = await Promise.all(Object.keys(SPECS).map(specFields));
  return new Set(all.flat().map(({ path }) => path));
}

async function specFields(plural: string): Promise<Field[]> {
  const crd = (await readCrd(plural)) as unknown as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: Schema } } } }[] };
  };
  const [version] = crd.spec.versions;
  if (version === undefined) throw new Error(`${plural} has no version`);
  return fieldsOf(version.schema.openAPIV3Schema.properties.spec);
}
