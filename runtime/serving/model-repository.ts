/** All models of this process with their versions: which there are, which serve, which could not be loaded and why. */
import { availableParallelism } from "node:os";
import { Failure, asFailure } from "../failure.ts";
import type { ModelSource, VersionSource } from "./model-source.ts";
import { RequestError } from "./request-error.ts";
import type { ServedModel } from "./served-model.ts";

export interface RepositoryOptions {
  /** What there is to serve, now. */
  readonly list: () => Promise<readonly ModelSource[]>;
  /** Checks the files of a version. Throws Failure. */
  readonly open: (model: ModelSource, version: VersionSource) => Promise<ServedModel>;
  /** A version does not serve. */
  readonly onFailure: (name: string, version: string, failure: Failure) => void;
  /** Versions that are loaded at a time; default: the processors. */
  readonly parallel?: number | undefined;
}

/** A version as lists show it, in the words of the Open Inference Protocol's repository extension. */
export interface IndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: "READY" | "LOADING" | "UNLOADING" | "UNAVAILABLE";
  readonly reason: string;
}

export interface VersionSlot {
  readonly version: string;
  readonly model?: ServedModel | undefined;
  readonly failure?: Failure | undefined;
  /** A client has unloaded it. */
  readonly unloaded?: true;
}

interface Entry {
  readonly source: ModelSource;
  readonly slots: Map<string, VersionSlot>;
}

export interface VersionChoice {
  readonly version?: string | undefined;
  readonly label?: string | undefined;
}

/** There is no such model, version or label; each protocol has its own words for that. */
export class NotServed extends Error {
  override readonly name = "NotServed";
  readonly code = "NotServed";
  readonly missing: "model" | "version" | "label";

  constructor(missing: NotServed["missing"]) {
    super(`there is no such ${missing}`);
    this.missing = missing;
  }
}

export class ModelRepository {
  /** Rejects when the last model that served has failed for good; never resolves. */
  readonly failed: Promise<never>;
  readonly #options: RepositoryOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #fail: (failure: Failure) => void;
  #started = false;
  #draining = false;
  /** Changes of the repository come one after the other. */
  #change: Promise<unknown> = Promise.resolve();

  constructor(options: RepositoryOptions) {
    this.#options = options;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    this.#fail = reject;
    promise.catch(() => {});
  }

  /** Loads everything; what cannot be loaded is kept as such. Throws the first Failure when nothing can be served. */
  async start(): Promise<void> {
    const sources = await this.#options.list();
    for (const source of sources) this.#entries.set(source.name, { source, slots: new Map() });
    const tasks = sources.flatMap((source) => source.versions.map((version) => () => this.#load(source, version)));
    await inParallel(tasks, this.#options.parallel ?? availableParallelism());
    if (!this.#draining && !this.models().some(({ ready }) => ready)) throw this.#firstFailure();
    this.#started = true;
  }

  /** Every version that was opened. */
  models(): ServedModel[] {
    return [...this.#entries.values()].flatMap(({ slots }) => [...slots.values()].flatMap(({ model }) => model ?? []));
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Versions in rising order. Throws NotServed. */
  versions(name: string): VersionSlot[] {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new NotServed("model");
    return [...entry.slots.values()].sort((a, b) => compareVersions(a.version, b.version));
  }

  /** The version that a label of the model names. Throws NotServed. */
  labelled(name: string, label: string): string {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new NotServed("model");
    const { labels } = entry.source;
    const version = Object.hasOwn(labels, label) ? labels[label] : undefined;
    if (version === undefined) throw new NotServed("label");
    return version;
  }

  /** Without a choice: the newest version that serves, else the newest. Throws NotServed, RequestError NotReady. */
  find(name: string, { version, label }: VersionChoice = {}): ServedModel {
    const wanted = label === undefined ? version : this.labelled(name, label);
    const slots = this.versions(name).reverse();
    const slot =
      wanted === undefined
        ? (slots.find(({ model }) => model?.answers) ?? slots[0])
        : slots.find((candidate) => candidate.version === wanted);
    if (slot === undefined && wanted !== undefined) throw new NotServed("version");
    if (slot?.model === undefined) throw new RequestError("NotReady", `Model with name ${name} is not ready.`);
    return slot.model;
  }

  index(): IndexEntry[] {
    return this.names().flatMap((name) => this.versions(name).map((slot) => indexEntry(name, slot)));
  }

  get ready(): boolean {
    return this.#started && !this.#draining && this.models().some(({ ready }) => ready);
  }

  get live(): boolean {
    const models = this.models();
    return models.length === 0 || models.some(({ live }) => live);
  }

  /** Looks at the model's files again: loads what is new or has failed, unloads what is gone. Throws NotServed, Failure. */
  load(name: string): Promise<void> {
    return this.#changing(async () => {
      const source = (await this.#options.list()).find((candidate) => candidate.name === name);
      if (source === undefined) throw new NotServed("model");
      const before = this.#entries.get(name);
      const entry = { source, slots: before?.slots ?? new Map<string, VersionSlot>() };
      this.#entries.set(name, entry);
      for (const version of source.versions) {
        if (entry.slots.get(version.version)?.model?.ready !== true) await this.#load(source, version);
      }
      const kept = new Set(source.versions.map(({ version }) => version));
      for (const version of entry.slots.keys())
        if (!kept.has(version)) {
          await this.#unload(entry, version);
          entry.slots.delete(version);
        }
      const failure = this.versions(name).find((slot) => slot.failure)?.failure;
      if (failure !== undefined) throw failure;
    });
  }

  /** Finishes what the model is computing and ends its engines; its files stay. Throws NotServed. */
  unload(name: string): Promise<void> {
    return this.#changing(async () => {
      const entry = this.#entries.get(name);
      if (entry === undefined) throw new NotServed("model");
      for (const version of entry.slots.keys()) await this.#unload(entry, version);
    });
  }

  /** No longer ready, but still answering. */
  drain(): void {
    this.#draining = true;
    for (const model of this.models()) model.drain();
  }

  async close(): Promise<void> {
    this.drain();
    await Promise.all(this.models().map((model) => model.close()));
  }

  #changing(action: () => Promise<void>): Promise<void> {
    const result = this.#change.then(action);
    this.#change = result.catch(() => {});
    return result;
  }

  async #load(source: ModelSource, version: VersionSource): Promise<void> {
    if (this.#draining) return;
    const { slots } = this.#entry(source);
    const number = version.version;
    let model: ServedModel | undefined;
    try {
      if (version.problem !== undefined) throw version.problem;
      slots.set(number, { version: number });
      model = await this.#options.open(source, version);
      slots.set(number, { version: number, model });
      // Closed while its files were looked at.
      if (this.#draining) return;
      await model.start();
      model.failed.catch((error: unknown) => this.#failedLater(source.name, number, asFailure(error)));
    } catch (error) {
      const failure = asFailure(error);
      slots.set(number, { version: number, model, failure });
      this.#options.onFailure(source.name, number, failure);
    }
  }

  #entry(source: ModelSource): Entry {
    const entry = this.#entries.get(source.name) ?? { source, slots: new Map<string, VersionSlot>() };
    this.#entries.set(source.name, entry);
    return entry;
  }

  async #unload({ slots }: Entry, version: string): Promise<void> {
    const model = slots.get(version)?.model;
    slots.set(version, { version, unloaded: true });
    model?.drain();
    await model?.batcher.idle();
    await model?.close();
  }

  #failedLater(name: string, version: string, failure: Failure): void {
    this.#options.onFailure(name, version, failure);
    if (!this.models().some((model) => model.failure === undefined)) this.#fail(failure);
  }

  #firstFailure(): Failure {
    const slots = this.names().flatMap((name) => this.versions(name));
    return (
      slots.find(({ failure }) => failure)?.failure ??
      new Failure("InputMissing", "there is no model to serve; give a folder of models")
    );
  }
}

/** Whole numbers without leading zeros, of any size. */
function compareVersions(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : Number(a > b));
}

function indexEntry(name: string, { version, model, failure, unloaded }: VersionSlot): IndexEntry {
  if (unloaded) return { name, version, state: "UNAVAILABLE", reason: "unloaded" };
  const reason = failure ?? model?.failure;
  if (reason !== undefined) {
    return { name, version, state: "UNAVAILABLE", reason: `${reason.reason}: ${reason.message}` };
  }
  const state = model?.state === "Serving" ? "READY" : model?.state === "Draining" ? "UNLOADING" : "LOADING";
  return { name, version, state, reason: "" };
}

async function inParallel(tasks: readonly (() => Promise<void>)[], width: number): Promise<void> {
  const waiting = [...tasks];
  const worker = async () => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) await task();
  };
  await Promise.all(Array.from({ length: Math.min(width, tasks.length) }, worker));
}
