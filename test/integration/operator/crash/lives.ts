/** The life of an object of each kind, in stages that end in a known state. */
import { RUN_ANNOTATIONS } from "../../../../operator/runs/names.ts";
import { ANNOTATIONS } from "../../../../operator/model-deployment/objects.ts";
import { condition, digest, type Manifest, modelDeployment, optimizationJob, trainingJob } from "../objects.ts";
import { CHILD_PLURALS, type Chapter, type OwnerPlural, type Seen } from "./journal.ts";
import { MISSING_IMAGE, type Script } from "./loopback-pods.ts";

export interface Stage {
  readonly name: string;
  /** What the user changes. */
  readonly spec?: Record<string, unknown>;
  /** What jobs do from then on. */
  readonly script?: Script;
  /** So many pods are ready behind the Service all the time. */
  readonly serves?: number;
  /** It is over when this holds. */
  readonly done: (chapter: Chapter) => boolean;
}

export interface Life {
  readonly plural: OwnerPlural;
  readonly manifest: Manifest;
  readonly stages: readonly Stage[];
}

export const NAME = "digits";

const KEPT = { ttlSecondsAfterFinished: 3600 };

interface Status {
  readonly observedGeneration?: number;
  readonly state?: string;
  readonly engine?: string;
  readonly readyReplicas?: number;
  readonly replicas?: number;
  readonly stableRevision?: string;
  readonly canaryRevision?: string;
  readonly conditions?: { type: string; status: string; reason: string; message: string }[];
}

function statusOf(chapter: Chapter, plural: OwnerPlural): Status {
  return chapter.find(plural, NAME)?.status ?? {};
}

/** No child is on its way out any more. */
const tidy = (chapter: Chapter) =>
  CHILD_PLURALS.every((plural) => chapter.all(plural).every((child) => child.metadata.deletionTimestamp === undefined));

const stopped = (chapter: Chapter) => chapter.all("pods").length === 0;

/** A job has such a state, and nothing of it is on its way out. */
const jobIs =
  (plural: OwnerPlural) =>
  (state: string, holds: (chapter: Chapter) => boolean = () => true) =>
  (chapter: Chapter) => {
    const owner = chapter.find(plural, NAME);
    const status: Status = owner?.status ?? {};
    const seen = status.observedGeneration === owner?.metadata.generation;
    return seen && status.state === state && tidy(chapter) && holds(chapter);
  };

/** All workers have come, with the secret that they share. */
const both = (chapter: Chapter) => chapter.all("pods").length === 2 && chapter.all("secrets").length === 1;

/** A run with children that one worker does not need. */
function workersLife(): Life {
  const plural = "trainingjobs";
  const is = jobIs(plural);
  return {
    plural,
    manifest: trainingJob(NAME, { ...KEPT, workers: 2 }),
    stages: [
      { name: "create", script: "work", done: is("Training", both) },
      { name: "update", script: "work", spec: { epochs: 4 }, done: is("Training", both) },
    ],
  };
}

/** Two runs, one after the other. */
function jobLife(plural: OwnerPlural, manifest: Manifest, works: string, update: Record<string, unknown>): Life {
  const is = jobIs(plural);
  return {
    plural,
    manifest,
    stages: [
      { name: "create", script: "work", done: is(works) },
      { name: "suspend", spec: { suspend: true }, done: is("Suspended", stopped) },
      { name: "resume", spec: { suspend: false }, done: is(works) },
      { name: "finish", script: 0, done: is("Succeeded", expires) },
      { name: "update", script: "work", spec: update, done: is(works) },
      ...secondTry(is, works),
    ],
  };
}

/** The Job of a recorded result may be removed in time. */
const expires = (chapter: Chapter) =>
  chapter.all("jobs").every(({ spec }) => spec?.["ttlSecondsAfterFinished"] === KEPT.ttlSecondsAfterFinished);

/** The attempt is noted beside the Job, for the time after it has gone. */
const noted = (chapter: Chapter) => {
  const children = [...chapter.all("jobs"), ...chapter.all("configmaps")];
  return new Set(children.map(({ metadata }) => metadata.annotations?.[RUN_ANNOTATIONS.attempt])).size === 1;
};

/** A run that fails, and succeeds when it is tried again with other resources. */
function secondTry(
  is: (state: string, holds?: (chapter: Chapter) => boolean) => Stage["done"],
  works: string,
): Stage[] {
  const more = { resources: { requests: { cpu: "1" } } };
  return [
    { name: "fail", script: 64, done: is("Failed", expires) },
    { name: "try again", script: "work", spec: more, done: is(works, noted) },
    { name: "finish again", script: 0, done: is("Succeeded", expires) },
  ];
}

/** The revision that serves holds the digest of its model. */
const pinned = ({ stableRevision = "" }: Status, chapter: Chapter) =>
  chapter.find("configmaps", stableRevision)?.immutable === true;

/** Such Deployments have no pods any more. */
const idle = (of: (deployment: Seen) => boolean) => (chapter: Chapter) =>
  chapter
    .all("deployments")
    .filter(of)
    .every(({ spec, status }) => spec?.["replicas"] === 0 && !status?.["replicas"]);

const others = ({ stableRevision }: Status, chapter: Chapter) =>
  idle(({ metadata }) => metadata.name !== stableRevision)(chapter);

/** No failure of a revision stands in the way of asking for it again. */
const forgiven = (chapter: Chapter) =>
  chapter
    .all("deployments")
    .every(
      ({ metadata: { annotations: held = {} } }) => !(ANNOTATIONS.failure in held) || ANNOTATIONS.superseded in held,
    );

function deploymentLife(): Life {
  const plural = "modeldeployments";
  const is =
    (reason: string, holds: (status: Status, chapter: Chapter) => boolean = () => true) =>
    (chapter: Chapter) => {
      const owner = chapter.find(plural, NAME);
      const status = statusOf(chapter, plural);
      const seen = status.observedGeneration === owner?.metadata.generation;
      return seen && condition(status, "Ready")?.reason === reason && tidy(chapter) && holds(status, chapter);
    };
  return {
    plural,
    manifest: modelDeployment(NAME, {
      model: { uri: "pvc://models/digits/1" },
      scaling: { replicas: 1 },
      rollout: { revisionHistoryLimit: 1, keepPrevious: "2s" },
    }),
    stages: [
      {
        name: "create",
        done: is("Serving", (status, chapter) => status.engine !== undefined && pinned(status, chapter)),
      },
      {
        name: "scale",
        spec: { scaling: { replicas: 2 } },
        serves: 1,
        done: is("Serving", ({ readyReplicas }) => readyReplicas === 2),
      },
      {
        name: "update",
        spec: { model: { uri: "pvc://models/digits/2" } },
        serves: 2,
        done: is("Serving", (status, chapter) => pinned(status, chapter) && others(status, chapter)),
      },
      { name: "fail", spec: { runtime: { image: MISSING_IMAGE } }, serves: 2, done: is("UpdateFailed", others) },
      {
        name: "return",
        spec: { runtime: { image: null } },
        serves: 2,
        done: is("Serving", (_, chapter) => forgiven(chapter) && chapter.all("deployments").length === 2),
      },
      {
        name: "suspend",
        spec: { suspend: true },
        done: is("Suspended", (_, chapter) => idle(() => true)(chapter) && chapter.all("pods").length === 0),
      },
      { name: "resume", spec: { suspend: false }, done: is("Serving", ({ readyReplicas }) => readyReplicas === 2) },
    ],
  };
}

export const LIVES: readonly Life[] = [
  jobLife("trainingjobs", trainingJob(NAME, KEPT), "Training", { epochs: 4 }),
  workersLife(),
  jobLife(
    "optimizationjobs",
    optimizationJob(NAME, { ...KEPT, model: { uri: "pvc://models/digits/1", digest: digest("1") } }),
    "Optimizing",
    { seed: 2 },
  ),
  deploymentLife(),
];
