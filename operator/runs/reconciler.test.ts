import { describe, expect, it } from "@jest/globals";
import type { TrainingJobStatus } from "../../crds/training-job.ts";
import { trainingRun } from "../../crds/contract/run.ts";
import { Children } from "../children.ts";
import type { Client } from "../kernel/client.ts";
import { ConsistencyTracker } from "../kernel/consistency.ts";
import { Informer, type WatchSource } from "../kernel/informer.ts";
import { silentLogger } from "../kernel/logger.ts";
import { controllerReference, type Identified, type KubernetesObject, type Stored } from "../kernel/meta.ts";
import { Store } from "../kernel/store.ts";
import { FakeClock } from "../kernel/testing/fake-clock.ts";
import { Kinds } from "../kinds.ts";
import { Kueue } from "../kueue/kueue.ts";
import type { PodRecord } from "../pods/pod-record.ts";
import { Reports } from "../pods/reports.ts";
import { CONFIG, pod, trainingJob } from "../testing/objects.ts";
import { type TrainingJobOwner, trainingJobKind } from "../training-job/training-job.ts";
import { DepartedPods } from "./departed.ts";
import type { ConfigMapRecord, JobRecord } from "./job-record.ts";
import { attemptOf, jobFile } from "./objects.ts";
import { RunReconciler } from "./reconciler.ts";

const JOB = "uid-of-the-job";

/** A suspended run, whose pods are told by hand. */
class SuspendedRun {
  readonly #jobs = new Store<JobRecord>();
  readonly departed = new DepartedPods(this.#jobs);
  readonly pods = new Store<PodRecord>();
  readonly run = trainingRun(trainingJob({ suspend: true }));
  /** How often the API server refuses a status. */
  refusals = 0;
  readonly #informer: Informer<TrainingJobOwner>;
  readonly #reconciler: RunReconciler<TrainingJobOwner>;
  readonly #key = "lab/digits";

  constructor() {
    const clock = new FakeClock();
    const owner = trainingJob({ suspend: true }) as Stored<TrainingJobOwner>;
    const resource = Kinds.TrainingJob as Informer<TrainingJobOwner>["resource"];
    this.#informer = new Informer({ client: {} as WatchSource, resource });
    this.#informer.store.put(owner);
    this.#makeJob(owner);
    // What the reconciler calls here.
    const client = {
      applyStatus: (_resource: unknown, { status }: { status: TrainingJobStatus }) => this.#write(status),
    } as unknown as Client;
    const consistency = new ConsistencyTracker({ clock });
    const kind = trainingJobKind(this.#informer, () => () => undefined);
    this.#reconciler = new RunReconciler(kind, {
      client,
      children: new Children({ client, consistency, informers: {} }),
      consistency,
      events: { record: () => undefined },
      reports: new Reports({ probe: () => Promise.resolve(undefined) }, clock),
      config: CONFIG,
      clock,
      stores: {
        configMaps: this.#configMaps(owner),
        jobs: this.#jobs,
        services: new Store<Identified>(),
        pods: this.pods,
      },
      departed: this.departed,
      kueue: new Kueue({ client, namespaces: [], clock, logger: silentLogger }),
    });
  }

  get status(): TrainingJobStatus {
    return this.#informer.store.getByKey(this.#key)?.status ?? {};
  }

  reconcile() {
    const signal = new AbortController().signal;
    return this.#reconciler.reconcile(this.#key, { signal, logger: silentLogger, reconcileId: "" });
  }

  /** The pod ends, and is gone before anybody has looked. */
  vanish(message: object): void {
    const record = pod({ phase: "Failed", ended: { exitCode: 143, message: JSON.stringify(message) } });
    const owner = { apiVersion: "batch/v1", kind: "Job", name: this.run.job.run, uid: JOB, controller: true };
    const before = { ...record, metadata: { ...record.metadata, ownerReferences: [owner] } };
    this.departed.podChanged({ key: "", before, after: undefined, initial: false });
  }

  #write(status: TrainingJobStatus): Promise<Stored<KubernetesObject>> {
    if (this.refusals-- > 0) return Promise.reject(new Error("the API server is away"));
    const owner = this.#informer.store.getByKey(this.#key);
    if (owner === undefined) throw new Error("there is no owner");
    const written = { ...owner, status };
    this.#informer.store.put(written);
    return Promise.resolve(written);
  }

  #metadata(owner: TrainingJobOwner, uid: string, annotations: Record<string, string>) {
    const ownerReferences = [controllerReference<KubernetesObject>(Kinds.TrainingJob, owner)];
    return { name: this.run.job.run, namespace: "lab", uid, resourceVersion: "1", ownerReferences, annotations };
  }

  #configMaps(owner: TrainingJobOwner): Store<ConfigMapRecord> {
    const store = new Store<ConfigMapRecord>();
    const annotations = { "modelwright.dev/attempt": attemptOf(owner).attempt };
    const metadata = this.#metadata(owner, "uid-of-the-map", annotations);
    store.put({ metadata, immutable: true, data: { "job.json": jobFile(this.run) } });
    return store;
  }

  #makeJob(owner: TrainingJobOwner): void {
    const { attempt, template } = attemptOf(owner);
    const annotations = { "modelwright.dev/attempt": attempt, "modelwright.dev/template": template };
    const metadata = this.#metadata(owner, JOB, annotations);
    this.#jobs.put({ metadata, createdAt: "", suspend: true, backoffLimit: 3, failed: 0, complete: false });
  }
}

const said = (run: string) => ({
  kind: "TrainingProgress",
  run,
  state: "Failed",
  progressPercent: 40,
  epoch: 1,
  epochs: 3,
  step: 71,
  checkpoint: { epoch: 1, step: 71, time: "2026-01-01T12:00:00Z" },
  failure: { reason: "Terminated", message: "The run was asked to end", exitCode: 143 },
});

describe("a suspended run whose pod ended and was gone at once", () => {
  it("shows where it was saved, and goes on showing it", async () => {
    const world = new SuspendedRun();
    await world.reconcile();
    expect(world.status).toMatchObject({ state: "Suspended", step: 0 });
    world.vanish(said(world.run.job.run));
    expect(await world.reconcile()).toMatchObject({ requeueAfterSeconds: expect.any(Number) });
    expect(world.status).toMatchObject({ state: "Suspended", step: 71, checkpoint: { step: 71 } });
    expect(await world.reconcile()).toBeUndefined();
    expect(world.status).toMatchObject({ state: "Suspended", step: 71, checkpoint: { step: 71 } });
    expect(world.departed.of(JOB)).toEqual([]);
  });

  it("shows it also when the API server refuses its status at first", async () => {
    const world = new SuspendedRun();
    world.vanish(said(world.run.job.run));
    world.refusals = 1;
    await expect(world.reconcile()).rejects.toThrow("the API server is away");
    await world.reconcile();
    expect(world.status).toMatchObject({ state: "Suspended", step: 71, checkpoint: { step: 71 } });
  });
});
