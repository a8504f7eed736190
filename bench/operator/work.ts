/** The rows: what is done to a controller and what is read off it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Api } from "../../test/cluster/api.ts";
import { until } from "../../test/cluster/wait.ts";
import { type Asked, isEvent, isLease, isWork, isWrite } from "./audit.ts";
import type { Bed, Subject } from "./bed.ts";
import { BROKEN, deploymentsPath, manifest } from "./manifests.ts";
import type { Program } from "./program.ts";

const POSTED_AT_A_TIME = 32;
/** A controller that has asked for nothing for so long is done; milliseconds. */
const QUIET = 4000;

interface Object {
  readonly metadata: { readonly name: string; readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly readyReplicas?: number;
    readonly stableRevision?: string;
    readonly conditions?: readonly { type: string; status: string; reason: string; message: string }[];
  };
}

export class Work {
  readonly #bed: Bed;
  readonly #subject: Subject;
  readonly #program: Program;

  constructor(bed: Bed, subject: Subject, program: Program) {
    this.#bed = bed;
    this.#subject = subject;
    this.#program = program;
  }

  get #api(): Api {
    return this.#bed.api;
  }

  get #path(): string {
    return deploymentsPath(this.#subject.namespace);
  }

  #asked(since: number): Promise<Asked[]> {
    return this.#bed.audit.of(this.#subject.user, since);
  }

  /** Waits until the controller asks for nothing any more, or for so long; milliseconds. */
  async settled(since: number, within = 900_000): Promise<void> {
    while (Date.now() - since < within) {
      const last = (await this.#asked(since)).filter(isWork).at(-1)?.answered ?? since;
      if (Date.now() - last >= QUIET) return;
      await sleep(500);
    }
    console.error(
      `${this.#program.name} is not done after ${within / 1000} s: figures are of what it did in that time`,
    );
  }

  /** Objects one after the other: milliseconds from an object's arrival to the last answer for its Deployment and Service. */
  async oneByOne(count: number): Promise<number[]> {
    const since = Date.now();
    const names = Array.from({ length: count }, (_, index) => `one-${String(index).padStart(3, "0")}`);
    for (const name of names) {
      await this.#api.post(this.#path, manifest(name));
      await until(`${name} has its children`, async () => (await this.#written(name, since)).length === 2, {
        every: 30,
      });
      await sleep(50);
    }
    const applied = await this.#bed.audit.of("admin", since);
    return Promise.all(
      names.map(async (name) => {
        const received = applied.find((asked) => asked.name === name)?.received ?? Number.NaN;
        return Math.max(...(await this.#written(name, since)).map(({ answered }) => answered)) - received;
      }),
    );
  }

  async #written(name: string, since: number): Promise<Asked[]> {
    return (await this.#asked(since)).filter(
      (asked) =>
        asked.verb === "create" &&
        asked.code === 201 &&
        ["deployments", "services"].includes(asked.resource) &&
        (asked.name === name || asked.name.startsWith(`${name}-`)),
    );
  }

  /** Many at once, until the controller is done with them. */
  async burst(prefix: string, count: number) {
    const { audit } = this.#bed;
    const cpu = await this.#program.cpu();
    const { endings } = this.#program;
    await this.#program.loopDelay();
    const since = Date.now();
    const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
    const next = names.values();
    const post = async () => {
      for (const name of next) await this.#api.post(this.#path, manifest(name));
    };
    await Promise.all(Array.from({ length: POSTED_AT_A_TIME }, post));
    const posted = Date.now();
    await this.settled(since);
    const all = await this.#asked(since);
    const children = all.filter((asked) => asked.verb === "create" && asked.code === 201 && !isEvent(asked));
    const first = Math.min(...(await audit.of("admin", since)).map(({ received }) => received));
    const last = Math.max(...children.map(({ answered }) => answered));
    const ready = (await this.#list()).filter(({ metadata, status }) => {
      return metadata.name.startsWith(`${prefix}-`) && status?.readyReplicas === 1;
    }).length;
    return {
      seconds: (last - first) / 1000,
      postedSeconds: (posted - since) / 1000,
      // What a process did that has ended meanwhile is not known.
      cpu: this.#program.endings === endings ? (await this.#program.cpu()) - cpu : Number.NaN,
      delay: await this.#program.loopDelay(),
      ready,
      children: children.length / count,
      reads: all.filter((asked) => isWork(asked) && !isWrite(asked)).length / count,
      events: all.filter((asked) => isWork(asked) && isEvent(asked)).length / count,
      status: all.filter((asked) => isWrite(asked) && asked.subresource === "status").length / count,
      requests: all.filter(isWork).length / count,
    };
  }

  async #list(): Promise<Object[]> {
    return (await this.#api.get<{ items: Object[] }>(this.#path)).items;
  }

  /** Requests beyond lease and watches since a time. */
  async work(since: number): Promise<{ requests: number; writes: number; follows: number }> {
    const all = await this.#asked(since);
    return {
      requests: all.filter(isWork).length,
      writes: all.filter((asked) => isWrite(asked) && !isLease(asked)).length,
      follows: all.filter((asked) => !isWork(asked) && !isLease(asked)).length,
    };
  }

  /** Kills it and starts it again, nothing having changed. */
  async restart(): Promise<{ requests: number; writes: number; follows: number }> {
    await this.#program.kill();
    const since = Date.now();
    await this.#program.start();
    // A lease that its holder has not given back is waited for.
    await sleep(6000);
    await this.settled(since);
    return this.work(since);
  }

  /** Seconds from the start of a controller to the return of a Deployment that was deleted while it was down. */
  async deletedWhileDown(name: string): Promise<number> {
    await this.#program.kill();
    const path = `/apis/apps/v1/namespaces/${this.#subject.namespace}/deployments`;
    const child = await this.#deploymentOf(name);
    await this.#api.delete(`${path}/${child}`);
    const gone = async () => (await this.#api.find(`${path}/${child}`)) === undefined;
    await until(`${child} is gone`, gone, { every: 20 });
    const start = performance.now();
    const started = this.#program.start();
    await until(`${child} is there again`, () => this.#api.find(`${path}/${child}`), { every: 20 });
    const seconds = (performance.now() - start) / 1000;
    await started;
    return seconds;
  }

  async #deploymentOf(name: string): Promise<string> {
    const { status } = await this.#api.get<Object>(`${this.#path}/${name}`);
    return status?.stableRevision ?? `${name}-1`;
  }

  /** Seconds from a change of spec until status has seen it. */
  async observed(name: string): Promise<number> {
    const labels = { changed: "yes" };
    const start = performance.now();
    const { metadata } = await this.#api.patch<Object>(`${this.#path}/${name}`, { spec: { pod: { labels } } });
    const seen = async () => {
      const { status } = await this.#api.get<Object>(`${this.#path}/${name}`);
      return (status?.observedGeneration ?? 0) >= metadata.generation;
    };
    await until(`${name} has its generation observed`, seen, { every: 10 });
    return (performance.now() - start) / 1000;
  }

  /** Seconds from an update to an image that does not exist until the columns say so, and what they say. */
  async brokenImage(name: string): Promise<{ seconds: number; ready: boolean; reason: string; named: boolean }> {
    const image = "registry.invalid/modelwright/broken:1";
    const start = performance.now();
    await this.#api.patch(`${this.#path}/${name}`, { spec: { runtime: { image }, pod: BROKEN } });
    const pods = `/api/v1/namespaces/${this.#subject.namespace}/pods`;
    const select = encodeURIComponent(`modelwright.dev/model-deployment=${name}`);
    interface Pod {
      metadata: { name: string };
      spec: { nodeName?: string; containers: { image: string }[] };
    }
    const broken = await until(
      "the pod has its node",
      async () =>
        (await this.#api.get<{ items: Pod[] }>(`${pods}?labelSelector=${select}`)).items.find(
          ({ spec }) => spec.containers[0]?.image === image && spec.nodeName !== undefined,
        ),
      { every: 50 },
    );
    // As a kubelet does: an attempt, its failure, and then the wait for the next one.
    for (const reason of ["ErrImagePull", "ImagePullBackOff"]) {
      await sleep(1000);
      await this.#pull(`${pods}/${broken.metadata.name}/status`, image, reason);
    }
    const said = await until(
      "the status says that the image cannot be pulled",
      async () => {
        const { status } = await this.#api.get<Object>(`${this.#path}/${name}`);
        const ready = status?.conditions?.find(({ type }) => type === "Ready");
        return ready !== undefined && /ImagePull/.test(`${ready.reason} ${ready.message}`) ? ready : undefined;
      },
      { every: 20 },
    );
    return {
      seconds: (performance.now() - start) / 1000,
      ready: said.status === "True",
      reason: said.reason,
      named: said.message.includes(image),
    };
  }

  async #pull(path: string, image: string, reason: string): Promise<void> {
    const message = `failed to pull and unpack image "${image}": no such host`;
    const container = { name: "runtime", image, imageID: "", ready: false, restartCount: 0 };
    await this.#api.patch(path, {
      status: { phase: "Pending", containerStatuses: [{ ...container, state: { waiting: { reason, message } } }] },
    });
  }
}
