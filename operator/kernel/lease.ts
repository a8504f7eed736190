import type { ILease } from "kubernetes-models/coordination.k8s.io/v1/Lease";
import type { Client } from "./client.ts";
import { type Clock, microTime, sleep } from "./clock.ts";
import { ApiError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Stored } from "./meta.ts";
import { Resources } from "./resource.ts";

export interface LeaderObserver {
  leading(name: string, isLeader: boolean): void;
  /** A renewal that met a change by somebody else, and had to read the lease first. */
  slowRenewal(name: string): void;
}

export interface LeaderElectionOptions {
  /** A client of its own, so that no other traffic holds a renewal back. */
  readonly client: Pick<Client, "find" | "create" | "replace" | "watch">;
  readonly namespace: string;
  readonly name: string;
  /**
   * Unique among the candidates that may live at the same time. One that holds the lease takes it up again at once, such as
   * a container that was started again in its pod; where a former process may still live, give each a new one.
   */
  readonly identity: string;
  /** How long others wait after the last renewal they saw; default 4. */
  readonly leaseSeconds?: number | undefined;
  /** How long the leader tries to renew before it gives up; default 3, less than leaseSeconds. */
  readonly renewDeadlineSeconds?: number | undefined;
  /** Between renewals, and between looks at a lease that cannot be watched; default 1. */
  readonly retrySeconds?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observer?: LeaderObserver | undefined;
  readonly random?: (() => number) | undefined;
}

/**
 * How leading ended: in good order ("stopped"), since another holds the lease ("lost"), or since it could not be renewed
 * in time ("interrupted"), after which `regain` tells more. In any case nothing may be written any more.
 */
export type TermEnd = "stopped" | "lost" | "interrupted";

/** How long one watch of a lease lasts that others hold. */
const watchSeconds = 60;

/**
 * One leader among many processes, through a Lease. Whether the leader is gone is judged by how long its lease has
 * not changed as seen from here; the clocks of other machines are not trusted. Who waits watches the lease, so that a
 * released one passes on at once, and a silent leader's when its time is over; no lease is taken without reading it anew.
 */
export class LeaderElection {
  readonly name: string;
  readonly #options: LeaderElectionOptions;
  readonly #clock: Clock;
  readonly #lease: number;
  readonly #deadline: number;
  readonly #retry: number;
  #observed: { readonly lease: Stored<ILease>; readonly at: number } | undefined;
  #renewedAt: number | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.name = options.name;
    this.#clock = options.clock;
    this.#lease = (options.leaseSeconds ?? 4) * 1000;
    this.#deadline = (options.renewDeadlineSeconds ?? 3) * 1000;
    this.#retry = (options.retrySeconds ?? 1) * 1000;
    if (!(this.#retry < this.#deadline && this.#deadline < this.#lease)) {
      throw new RangeError("leader election needs retrySeconds < renewDeadlineSeconds < leaseSeconds");
    }
    options.observer?.leading(options.name, false);
  }

  /** True from a successful acquire until the lease is lost or released. */
  get isLeader(): boolean {
    return this.#renewedAt !== undefined;
  }

  /** False when this process still counts itself leader though its lease may have passed to another. */
  get isHealthy(): boolean {
    return this.#renewedAt === undefined || this.#clock.monotonic() - this.#renewedAt < this.#lease;
  }

  /** Resolves true when leading, false when the signal aborts. */
  async acquire(signal: AbortSignal): Promise<boolean> {
    const { logger, identity } = this.#options;
    logger.info("waiting for the lease", { lease: this.name, identity });
    while (!signal.aborted) {
      const started = this.#clock.monotonic();
      if ((await this.#attempt(signal)) && this.#lead(started)) return true;
      await this.#waitForNews(signal);
    }
    return false;
  }

  /** Renews until the signal aborts or the lease cannot be kept. */
  async hold(signal: AbortSignal): Promise<TermEnd> {
    while (!signal.aborted) {
      await sleep(this.#clock, Math.max(0, Math.min(this.#retry, this.#deadline - this.#sinceRenewal())), signal);
      if (signal.aborted) break;
      const started = this.#clock.monotonic();
      // After a long stall another may lead already: do not even ask.
      if (this.#sinceRenewal() < this.#lease && (await this.#attempt(signal))) this.#renewedAt = started;
      else if (this.#isOthers()) return this.#lost();
      else if (this.#sinceRenewal() >= this.#deadline) return this.#interrupted();
    }
    return "stopped";
  }

  /**
   * After an interruption: leads again if nobody else can have led meanwhile, so that all that this process remembers still
   * holds. Otherwise the lease is lost. "stopped": the signal aborted.
   */
  async regain(signal: AbortSignal): Promise<"leading" | "lost" | "stopped"> {
    while (!signal.aborted) {
      const started = this.#clock.monotonic();
      const end = await this.#retake(signal);
      if (end === "lost") return this.#lost();
      if (end === "leading" && this.#lead(started)) return end;
      await sleep(this.#clock, this.#pause(), signal);
    }
    return "stopped";
  }

  /** Gives the lease up, so that another need not wait for its end. Does nothing when not leading. */
  async release(): Promise<void> {
    if (!this.isLeader) return;
    this.#renewedAt = undefined;
    const { client, namespace, identity, logger, observer } = this.#options;
    observer?.leading(this.name, false);
    const options = { timeoutSeconds: this.#callSeconds };
    try {
      // Read anew: a renewal that was cut off by the end may have taken effect.
      const lease = await client.find(Resources.Lease, namespace, this.name, options);
      if (lease?.spec?.holderIdentity !== identity) return;
      const now = microTime(this.#clock.now());
      const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now };
      await client.replace(Resources.Lease, { ...lease, spec }, options);
      logger.info("released the lease", { lease: this.name });
    } catch (error) {
      logger.warn("could not release the lease; others wait for its end", { error, lease: this.name });
    }
  }

  /** Resolves when the lease may be free: it changed so, its time is over, or it is time to look again. */
  async #waitForNews(signal: AbortSignal): Promise<void> {
    // It was free, and could not be had: somebody was faster, or the server does not answer.
    if (!this.#observed || this.#mayTake()) return sleep(this.#clock, this.#pause(), signal);
    const waking = new AbortController();
    const either = AbortSignal.any([signal, waking.signal]);
    const waits = [this.#expiry(either), this.#follow(this.#observed.lease, either)];
    await Promise.race(waits);
    waking.abort();
    await Promise.all(waits);
  }

  /** Resolves when the observed lease has not changed for its time. */
  async #expiry(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#mayTake()) await sleep(this.#clock, this.#untilExpiry(), signal);
  }

  /** Keeps what is observed up to date until the lease is free or the watch ends. */
  async #follow(lease: Stored<ILease>, signal: AbortSignal): Promise<void> {
    const { client, namespace, logger } = this.#options;
    const events = client.watch(Resources.Lease, {
      namespace,
      fieldSelector: `metadata.name=${this.name}`,
      resourceVersion: lease.metadata.resourceVersion,
      timeoutSeconds: watchSeconds,
      silenceSeconds: watchSeconds + 5,
      signal,
    });
    try {
      for await (const event of events) {
        if (event.type === "BOOKMARK") continue;
        this.#observe(event.object);
        if (event.type === "DELETED" || this.#mayTake()) return;
      }
    } catch (error) {
      if (!signal.aborted) logger.debug("the lease cannot be watched", () => ({ error, lease: this.name }));
    }
    await sleep(this.#clock, this.#pause(), signal);
  }

  /** Milliseconds, never all candidates at the same time. */
  #pause(): number {
    const { random = Math.random } = this.#options;
    return this.#retry * (0.8 + 0.2 * random());
  }

  /** A leader's call must not outlast its right to lead, and a candidate's not delay the next look. */
  get #callSeconds(): number {
    const usual = this.#deadline / 2;
    if (!this.isLeader) return usual / 1000;
    const since = this.#sinceRenewal();
    const least = (this.#lease - this.#deadline) / 2;
    return Math.max(1, Math.min(this.#lease - since, Math.max(least, Math.min(usual, this.#deadline - since)))) / 1000;
  }

  #sinceRenewal(): number {
    return this.#clock.monotonic() - (this.#renewedAt ?? -Infinity);
  }

  #isOthers(): boolean {
    return this.#observed?.lease.spec?.holderIdentity !== this.#options.identity;
  }

  /** `started`: when the call began that wrote the lease. False where that is so long ago that another may lead by now. */
  #lead(started: number): boolean {
    if (this.#clock.monotonic() - started >= this.#deadline) return false;
    this.#renewedAt = started;
    this.#options.observer?.leading(this.name, true);
    this.#options.logger.info("leading", { lease: this.name, identity: this.#options.identity });
    return true;
  }

  #lost(): "lost" {
    this.#follows();
    this.#options.logger.error("lost the lease", { lease: this.name, identity: this.#options.identity });
    return "lost";
  }

  #interrupted(): "interrupted" {
    this.#follows();
    this.#options.logger.warn("could not renew the lease in time: nothing is written until it can be had again", {
      lease: this.name,
      identity: this.#options.identity,
    });
    return "interrupted";
  }

  #follows(): void {
    this.#renewedAt = undefined;
    this.#options.observer?.leading(this.name, false);
  }

  /** Who else led has written the name of another into the lease; one that is gone may have been anybody's. */
  async #retake(signal: AbortSignal): Promise<"leading" | "lost" | undefined> {
    const { client, namespace, identity } = this.#options;
    const options = { signal, timeoutSeconds: this.#callSeconds };
    try {
      const lease = await client.find(Resources.Lease, namespace, this.name, options);
      if (lease?.spec?.holderIdentity !== identity) return "lost";
      return (await this.#write(lease, signal)) ? "leading" : undefined;
    } catch (error) {
      this.#unreachable(error, signal);
      return undefined;
    }
  }

  #unreachable(error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) this.#options.logger.warn("the lease cannot be reached", { error, lease: this.name });
  }

  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      // A leader knows its lease: one call. A conflict means that somebody touched it, so look first.
      if (this.#observed && this.isLeader) {
        if (await this.#write(this.#observed.lease, signal)) return true;
        this.#options.observer?.slowRenewal(this.name);
      }
      return await this.#look(signal);
    } catch (error) {
      this.#unreachable(error, signal);
      return false;
    }
  }

  async #look(signal: AbortSignal): Promise<boolean> {
    const { client, namespace } = this.#options;
    const options = { signal, timeoutSeconds: this.#callSeconds };
    const lease = await client.find(Resources.Lease, namespace, this.name, options);
    if (!lease) return this.#create(signal);
    this.#observe(lease);
    return this.#mayTake() && this.#write(lease, signal);
  }

  #observe(lease: Stored<ILease>): void {
    const isNews = this.#observed?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion;
    if (isNews) this.#observed = { lease, at: this.#clock.monotonic() };
  }

  #mayTake(): boolean {
    return this.#untilExpiry() <= 0;
  }

  /** Milliseconds after which the observed lease is nobody's, unless it changes; 0 or less when it is free. */
  #untilExpiry(): number {
    if (!this.#observed) return 0;
    const { lease, at } = this.#observed;
    const holder = lease.spec?.holderIdentity;
    if (!holder || holder === this.#options.identity) return 0;
    const seconds = lease.spec?.leaseDurationSeconds ?? this.#lease / 1000;
    return at + seconds * 1000 - this.#clock.monotonic();
  }

  async #create(signal: AbortSignal): Promise<boolean> {
    const metadata = { namespace: this.#options.namespace, name: this.name };
    const body: ILease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: this.#spec(undefined) };
    return this.#store(() =>
      this.#options.client.create(Resources.Lease, body, { signal, timeoutSeconds: this.#callSeconds }),
    );
  }

  /** With the resourceVersion it was read at: of two candidates one gets a conflict. */
  async #write(lease: Stored<ILease>, signal: AbortSignal): Promise<boolean> {
    const body = { ...lease, spec: { ...lease.spec, ...this.#spec(lease) } };
    return this.#store(() =>
      this.#options.client.replace(Resources.Lease, body, { signal, timeoutSeconds: this.#callSeconds }),
    );
  }

  async #store(write: () => Promise<Stored<ILease>>): Promise<boolean> {
    try {
      this.#observed = { lease: await write(), at: this.#clock.monotonic() };
      return true;
    } catch (error) {
      if (error instanceof ApiError && (error.isConflict || error.isAlreadyExists || error.isNotFound)) return false;
      throw error;
    }
  }

  #spec(lease: Stored<ILease> | undefined): NonNullable<ILease["spec"]> {
    const now = microTime(this.#clock.now());
    const old = lease?.spec;
    const isOurs = old?.holderIdentity === this.#options.identity;
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.ceil(this.#lease / 1000),
      acquireTime: isOurs ? (old.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (old?.leaseTransitions ?? 0) + (lease && !isOurs ? 1 : 0),
    };
  }
}
