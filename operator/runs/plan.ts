/** What has to be written so that the run that the spec asks for is under way, once. */
import { Resources } from "../kernel/resource.ts";
import { identityOf, type Write } from "../writes.ts";
import type { Identified } from "../kernel/meta.ts";
import type { ConfigMapRecord, JobRecord } from "./job-record.ts";
import { RUN_ANNOTATIONS } from "./names.ts";
import { JOB_FILE } from "../pods/template.ts";
import { attemptOf, jobFile, queueOf, runConfigMap, runJob } from "./objects.ts";
import { currentJob, type ObservedRun, recorded } from "./observed.ts";
import { unrecorded } from "./results.ts";
import { isLost } from "./verdict.ts";
import { workersOf, workersSecret, workersService } from "./workers.ts";

export function planRun(observed: ObservedRun): Write[] {
  return [...superseded(observed), ...configMap(observed), ...service(observed), ...job(observed)];
}

/** Jobs and ConfigMaps of former specs. Their artefacts stay, and a result is recorded before its Job goes. */
function superseded(observed: ObservedRun): Write[] {
  const { run, jobs, configMaps, services } = observed;
  const kept = [run.job.run, unrecorded(observed)?.run];
  const former = <T extends Identified>(records: readonly T[]) =>
    records.filter(({ metadata }) => !kept.includes(metadata.name) && metadata.deletionTimestamp === undefined);
  return [
    ...former(jobs).map(remove),
    ...former(configMaps).map(
      (map) => ({ verb: "delete", resource: Resources.ConfigMap, metadata: identityOf(map) }) as const,
    ),
    ...former(services).map(
      (other) => ({ verb: "delete", resource: Resources.Service, metadata: identityOf(other) }) as const,
    ),
  ];
}

function configMap(observed: ObservedRun): Write[] {
  const { owner, run } = observed;
  const map = currentMap(observed);
  if (map === undefined) {
    // After a failure the new attempt is still to come.
    const last = recorded(observed) === "Failed" ? undefined : attemptOf(owner).attempt;
    return [{ verb: "create", resource: Resources.ConfigMap, object: runConfigMap(owner, run, last) }];
  }
  if (isOutdated(observed)) return [{ verb: "delete", resource: Resources.ConfigMap, metadata: identityOf(map) }];
  const attempt = currentJob(observed)?.metadata.annotations?.[RUN_ANNOTATIONS.attempt];
  if (attempt === undefined || map.metadata.annotations?.[RUN_ANNOTATIONS.attempt] === attempt) return [];
  // Remembers the last attempt for the time after its Job has gone.
  const patch = { metadata: { annotations: { [RUN_ANNOTATIONS.attempt]: attempt } } };
  return [{ verb: "patch", resource: Resources.ConfigMap, metadata: identityOf(map), patch }];
}

function currentMap({ run, configMaps }: ObservedRun): ConfigMapRecord | undefined {
  return configMaps.find(({ metadata }) => metadata.name === run.job.run);
}

/** A new attempt may be told other things that the result does not depend on; pods of a Job always read the same. */
function isOutdated(observed: ObservedRun): boolean {
  const map = currentMap(observed);
  if (map === undefined || currentJob(observed) !== undefined || !wantsAttempt(observed)) return false;
  return map.data?.[JOB_FILE] !== jobFile(observed.run);
}

function job(observed: ObservedRun): Write[] {
  const job = currentJob(observed);
  if (job === undefined) {
    return wantsAttempt(observed) && !isOutdated(observed) && !isHeldBack(observed) ? create(observed) : [];
  }
  // A new one of this name can only come when it has gone.
  if (job.metadata.deletionTimestamp !== undefined) return [];
  if (mustGo(observed, job)) return [remove(job)];
  return adjust(observed, job);
}

/** A suspended Job would be Kueue's to start: one that its user suspends is not there. */
function isHeldBack({ owner: { spec } }: ObservedRun): boolean {
  return spec.suspend && spec.queueName !== undefined;
}

/** As it was seen: one that has ended meanwhile has a result that nobody has recorded. */
function remove(job: JobRecord): Write {
  const { resourceVersion } = job.metadata;
  return { verb: "delete", resource: Resources.Job, metadata: { ...identityOf(job), resourceVersion } };
}

/** The Secret of several workers comes first, and is named after a ConfigMap that must be there. */
function create(observed: ObservedRun): Write[] {
  const { owner, run, config } = observed;
  const job = (secret?: string): Write => ({
    verb: "create",
    resource: Resources.Job,
    object: runJob(owner, run, config, secret),
  });
  if (workersOf(run) === 1) return [job()];
  const map = currentMap(observed);
  if (map === undefined || map.metadata.deletionTimestamp !== undefined) return [];
  const object = workersSecret(owner, run, map);
  return [{ verb: "create", resource: Resources.Secret, object, unique: true }, job(object.metadata.name)];
}

/** By its headless Service the workers of a run find each other. */
function service(observed: ObservedRun): Write[] {
  const { owner, run, services } = observed;
  if (workersOf(run) === 1 || services.some(({ metadata }) => metadata.name === run.job.run)) return [];
  const job = currentJob(observed);
  const finished = job === undefined ? !wantsAttempt(observed) : job.complete || job.failure !== undefined;
  return finished ? [] : [{ verb: "create", resource: Resources.Service, object: workersService(owner, run) }];
}

/** A recorded result stands, but a failed run is tried again when the user changed what may have made it fail. */
function wantsAttempt(observed: ObservedRun): boolean {
  const { owner } = observed;
  const result = recorded(observed);
  if (result === undefined) return true;
  if (result === "Succeeded") return false;
  const map = currentMap(observed);
  return map === undefined || map.metadata.annotations?.[RUN_ANNOTATIONS.attempt] !== attemptOf(owner).attempt;
}

function mustGo(observed: ObservedRun, job: JobRecord): boolean {
  if (job.complete) return isLost(observed, job);
  const { attempt, template } = attemptOf(observed.owner);
  const annotations = job.metadata.annotations ?? {};
  if (job.failure === undefined) {
    // Kueue lets nobody change the queue of a Job that it has admitted.
    const moves = queueOf(job.metadata) !== observed.owner.spec.queueName;
    return moves || isHeldBack(observed) || annotations[RUN_ANNOTATIONS.template] !== template;
  }
  return recorded(observed) === "Failed" && annotations[RUN_ANNOTATIONS.attempt] !== attempt;
}

/** Brings the fields that a Job can change in line with the spec. */
function adjust(observed: ObservedRun, job: JobRecord): Write[] {
  const { spec } = observed.owner;
  const finished = job.complete || job.failure !== undefined;
  const wanted: Record<string, unknown> = finished
    ? recorded(observed) === undefined
      ? {}
      : { ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished }
    : {
        // In a queue that field is Kueue's.
        ...(spec.queueName === undefined ? { suspend: spec.suspend } : {}),
        activeDeadlineSeconds: spec.activeDeadlineSeconds,
        backoffLimit: spec.backoffLimit,
      };
  const held: Record<string, unknown> = { ...job };
  const changes = Object.entries(wanted).filter(([field, value]) => held[field] !== value);
  if (changes.length === 0) return [];
  const { attempt } = attemptOf(observed.owner);
  return [
    {
      verb: "patch",
      resource: Resources.Job,
      metadata: identityOf(job),
      patch: {
        ...(finished ? {} : { metadata: { annotations: { [RUN_ANNOTATIONS.attempt]: attempt } } }),
        // A merge patch removes what is null.
        spec: Object.fromEntries(changes.map(([field, value]) => [field, value ?? null])),
      },
    },
  ];
}
