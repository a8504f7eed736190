/** Lives a life, with or without crashes of the operator. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadConnection } from "../../../../operator/kernel/kube-config.ts";
import type { Api } from "../../../cluster/api.ts";
import type { ApiServer } from "../../../cluster/apiserver.ts";
import { until } from "../../../cluster/wait.ts";
import { FaultProxy, type SeenRequest } from "../../../faults/proxy.ts";
import { readyBehind } from "./endpoints.ts";
import { type Chapter, CHILD_PLURALS, CHILDREN, type Journal, type Seen } from "./journal.ts";
import { type Life, NAME, type Stage } from "./lives.ts";
import { Program } from "./program.ts";
import { snapshot } from "./snapshot.ts";
import type { LoopbackPods } from "./loopback-pods.ts";

export interface World {
  readonly server: ApiServer;
  readonly journal: Journal;
  readonly pods: LoopbackPods;
  /** Folder of compiled modules. */
  readonly cache: string;
}

/** After which of its writes in each stage the operator is killed, counted from one; or after one write, by what it is. */
export type Crash = "never" | "always" | number | { readonly after: string };

export interface End {
  readonly state: string;
  readonly counts: ReadonlyMap<string, number>;
}

const QUIET_MILLISECONDS = 500;
const WITHIN_MILLISECONDS = 180_000;

export class Lived {
  /** Of each stage, as it ended. */
  readonly ends = new Map<string, End>();
  /** What the operator wrote, as `STAGE: METHOD WHAT`. */
  readonly writes: string[] = [];
  /** The writes that it did not survive. */
  readonly crashes: string[] = [];
  /** Moments in which too few pods were ready. */
  readonly lapses = new Set<string>();
  readonly #world: World;
  readonly #life: Life;
  readonly #crash: Crash;
  readonly #namespace: string;
  readonly #chapter: Chapter;
  readonly #proxy: FaultProxy;
  readonly #program: Program;
  readonly #path: string;
  #stage: Stage | undefined;
  #writesOfStage = 0;

  private constructor(
    world: World,
    life: Life,
    crash: Crash,
    parts: { namespace: string; proxy: FaultProxy; program: Program },
  ) {
    this.#world = world;
    this.#life = life;
    this.#crash = crash;
    this.#namespace = parts.namespace;
    this.#proxy = parts.proxy;
    this.#program = parts.program;
    this.#chapter = world.journal.of(parts.namespace);
    this.#path = `/apis/modelwright.dev/v1alpha1/namespaces/${parts.namespace}/${life.plural}`;
  }

  /** With a reference, each stage must end as it did there. */
  static async through(world: World, life: Life, crash: Crash, reference?: Lived): Promise<Lived> {
    const { server, journal, cache } = world;
    const namespace = await server.namespace("life");
    const target = await loadConnection({ kubeconfig: server.kubeconfig });
    const proxy: FaultProxy = new FaultProxy(target, {
      withhold: (request, status) => lived.#withhold(request, status),
    });
    const kubeconfig = await writeKubeconfig(server.state, namespace, (await proxy.start()).server);
    const lived = new Lived(world, life, crash, {
      namespace,
      proxy,
      program: new Program({ kubeconfig, namespace, cache }),
    });
    journal.onChange(({ object }) => {
      if (object.metadata.namespace === namespace) lived.#watch();
    });
    try {
      await lived.#liveThrough(reference);
      return lived;
    } catch (error) {
      await lived.stop();
      throw error;
    }
  }

  /** Removes the object: all its children go with it, and the operator ends. */
  async leave(): Promise<void> {
    const { api } = this.#world.server;
    await api.delete(`${this.#path}/${NAME}`);
    const isGone = async () => isEmpty(this.#chapter) && (await childrenIn(api, this.#namespace)).length === 0;
    await until(`nothing is left of ${this.#life.plural} in ${this.#namespace}`, isGone);
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#stage = undefined;
    await this.#program.end();
    await this.#proxy.stop();
  }

  async #liveThrough(reference: Lived | undefined): Promise<void> {
    const { server, pods } = this.#world;
    this.#program.start();
    await server.api.post(this.#path, this.#life.manifest);
    for (const stage of this.#life.stages) {
      this.#stage = stage;
      this.#writesOfStage = 0;
      if (stage.script !== undefined) pods.direct(this.#namespace, stage.script);
      if (stage.spec !== undefined) await this.#change(stage.spec);
      await this.#awaitEnd(stage, reference?.ends.get(stage.name)?.state);
      this.ends.set(stage.name, { state: this.#state(), counts: new Map(this.#chapter.counts) });
    }
    this.#stage = undefined;
  }

  /** Goes on when the journal has it too. */
  async #change(spec: Record<string, unknown>): Promise<void> {
    const { metadata } = await this.#world.server.api.patch<Seen>(`${this.#path}/${NAME}`, { spec });
    const seen = () => this.#chapter.find(this.#life.plural, NAME)?.metadata.generation === metadata.generation;
    await until(`generation ${metadata.generation ?? 0} of ${this.#life.plural} is seen`, () =>
      Promise.resolve(seen()),
    );
  }

  async #awaitEnd({ name, done }: Stage, wanted: string | undefined): Promise<void> {
    const isOver = () => (wanted === undefined ? done(this.#chapter) : this.#state() === wanted);
    const isQuiet = () => performance.now() - this.#chapter.lastChange >= QUIET_MILLISECONDS;
    // Only where something was out of order does it matter that it stays as it is.
    const mustSettle = () => wanted === undefined || this.crashes.some((write) => write.startsWith(`${name}:`));
    const ask = () => Promise.resolve(isOver() && (!mustSettle() || isQuiet()));
    await until(`${this.#life.plural}, ${name}`, ask, { within: WITHIN_MILLISECONDS }).catch((cause: unknown) => {
      const after = this.crashes.join(", ") || "nothing";
      const message = `${this.#life.plural}: stage ${name} does not end as it should; crashes after ${after}. ${this.#program.errors}`;
      throw new Error(`${message}\nWanted: ${wanted ?? "to be done"}\nThere is: ${this.#state()}`, { cause });
    });
  }

  /** The API server has done it; does the operator learn of it, or die before? */
  async #withhold(request: SeenRequest, status: number): Promise<boolean> {
    if (this.#stage === undefined || !isWrite(request) || status >= 300) return false;
    const write = `${this.#stage.name}: ${nameOf(request)}`;
    this.writes.push(write);
    this.#writesOfStage++;
    if (!this.#isFatal(write)) return false;
    this.crashes.push(write);
    await this.#program.restart();
    return true;
  }

  #isFatal(write: string): boolean {
    if (typeof this.#crash === "object") return this.#crash.after === write && !this.crashes.includes(write);
    return this.#crash === "always" || this.#crash === this.#writesOfStage;
  }

  #watch(): void {
    const { name, serves } = this.#stage ?? {};
    if (name === undefined || serves === undefined) return;
    const front = this.#chapter.find("services", NAME);
    const ready = front === undefined ? 0 : readyBehind(this.#chapter, front).length;
    if (ready < serves) this.lapses.add(`${name}: ${ready} of ${serves} pods are ready`);
  }

  #state(): string {
    return snapshot(this.#chapter, this.#life.plural, this.#namespace);
  }
}

function isEmpty(chapter: Chapter): boolean {
  return CHILD_PLURALS.every((plural) => chapter.all(plural).length === 0);
}

/** All of them, also those that have lost their label. */
async function childrenIn(api: Api, namespace: string): Promise<string[]> {
  const lists = await Promise.all(
    CHILD_PLURALS.map(async (plural) => {
      const { items } = await api.get<{ items: Seen[] }>(`${CHILDREN[plural]}/namespaces/${namespace}/${plural}`);
      return items.map(({ metadata }) => `${plural}/${metadata.name}`);
    }),
  );
  return lists.flat();
}

/** Events are no state: they may be lost with the operator, and nothing follows from them. */
function isWrite({ method, path }: SeenRequest): boolean {
  return method !== "GET" && !path.endsWith("/events") && !path.includes("/events/");
}

/** Without what is chance in the names of pods, which differ from life to life. */
function nameOf({ method, path }: SeenRequest): string {
  const own = path.replace(/^.*\/namespaces\/[^/]+\//, "").replace(/^(pods\/.+)-[a-z0-9]+-[a-z0-9]{5}$/, "$1-…");
  return `${method} ${own}`;
}

async function writeKubeconfig(folder: string, namespace: string, server: string): Promise<string> {
  const path = join(folder, `${namespace}.kubeconfig`);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "proxy",
    clusters: [{ name: "proxy", cluster: { server } }],
    contexts: [{ name: "proxy", context: { cluster: "proxy", namespace } }],
  };
  await writeFile(path, JSON.stringify(config));
  return path;
}
