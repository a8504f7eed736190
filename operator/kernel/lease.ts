import type { ILease } from "kubernetes-models/coordination.k8s.io/v1/Lease";
import type { Client } from "./client.ts";
import { type Clock, microTime, sleep } from "./clock.ts";
import { ApiError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Stored } from "./meta.ts";
import { Resources } from "./resource.ts";

export interface LeaderObserver {
  leading(name: string, isLeader: boolean): void;
}

export interface LeaderElectionOptions {
  /** A client of its own, so that no other traffic holds a renewal back. */
  readonly client: Pick<Client, "find" | "create" | "replace">;
  readonly namespace: string;
  readonly name: string;
  /** Unique among the candidates, also after a restart. */
  readonly identity: string;
  /** How long others wait after the last renewal they saw; default 15. */
  readonly leaseSeconds?: number | undefined;
  /** How long the leader tries to renew before it gives up; default 10, less than leaseSeconds. */
  readonly renewDeadlineSeconds?: number | undefined;
  /** Between attempts; default 2. */
  readonly retrySeconds?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observer?: LeaderObserver | undefined;
  readonly random?: (() => number) | undefined;
}

/**
 * One leader among many processes, through a Lease. Whether the leader is gone is judged by how long its lease has
 * not changed as seen from here; the clocks of other machines are not trusted.
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
    this.#lease = (options.leaseSeconds ?? 15) * 1000;
    this.#deadline = (options.renewDeadlineSeconds ?? 10) * 1000;
    this.#retry = (options.retrySeconds ?? 2) * 1000;
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
    const { logger, identity, random = Math.random } = this.#options;
    logger.info("waiting for the lease", { lease: this.name, identity });
    while (!signal.aborted) {
      const started = this.#clock.monotonic();
      if (await this.#attempt(signal)) {
        this.#renewedAt = started;
        this.#options.observer?.leading(this.name, true);
        logger.info("leading", { lease: this.name, identity });
        return true;
      }
      await sleep(this.#clock, this.#retry * (1 + 0.2 * random()), signal);
    }
    return false;
  }

  /** Renews until the signal aborts ("stopped") or the lease cannot be kept ("lost": end the process). */
  async hold(signal: AbortSignal): Promise<"stopped" | "lost"> {
    while (!signal.aborted) {
      await sleep(this.#clock, this.#retry, signal);
      if (signal.aborted) break;
      const started = this.#clock.monotonic();
      // After a long stall another may lead already: do not even ask.
      if (this.#sinceRenewal(started) < this.#lease && (await this.#attempt(signal))) this.#renewedAt = started;
      else if (this.#sinceRenewal(this.#clock.monotonic()) >= this.#deadline || this.#isOthers()) return this.#lost();
    }
    return "stopped";
  }

  /** Gives the lease up, so that another need not wait for its end. Does nothing when not leading. */
  async release(): Promise<void> {
    if (!this.isLeader || !this.#observed) return;
    const { lease } = this.#observed;
    this.#renewedAt = undefined;
    this.#options.observer?.leading(this.name, false);
    const now = microTime(this.#clock.now());
    const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now };
    try {
      await this.#options.client.replace(Resources.Lease, { ...lease, spec }, { timeoutSeconds: this.#callSeconds });
      this.#options.logger.info("released the lease", { lease: this.name });
    } catch (error) {
      this.#options.logger.warn("could not release the lease; others wait for its end", { error, lease: this.name });
    }
  }

  /** A leader's call must not outlast its right to lead. */
  get #callSeconds(): number {
    const usual = Math.max(1000, this.#deadline / 2);
    const left = this.isLeader ? this.#deadline - this.#sinceRenewal(this.#clock.monotonic()) : usual;
    return Math.max(500, Math.min(usual, left)) / 1000;
  }

  #sinceRenewal(now: number): number {
    return now - (this.#renewedAt ?? -Infinity);
  }

  #isOthers(): boolean {
    return this.#observed?.lease.spec?.holderIdentity !== this.#options.identity;
  }

  #lost(): "lost" {
    this.#renewedAt = undefined;
    this.#options.observer?.leading(this.name, false);
    this.#options.logger.error("lost the lease", { lease: this.name, identity: this.#options.identity });
    return "lost";
  }

  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      // A leader knows its lease: one call. A conflict means that somebody touched it, so look first.
      if (this.#observed && this.isLeader && (await this.#write(this.#observed.lease, signal))) return true;
      return await this.#look(signal);
    } catch (error) {
      if (!signal.aborted) this.#options.logger.warn("the lease cannot be reached", { error, lease: this.name });
      return false;
    }
  }

  async #look(signal: AbortSignal): Promise<boolean> {
    const { client, namespace } = this.#options;
    const options = { signal, timeoutSeconds: this.#callSeconds };
    const lease = await client.find(Resources.Lease, namespace, this.name, options);
    if (!lease) return this.#create(signal);
    const isNews = this.#observed?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion;
    if (isNews) this.#observed = { lease, at: this.#clock.monotonic() };
    return this.#mayTake() && this.#write(lease, signal);
  }

  #mayTake(): boolean {
    if (!this.#observed) return false;
    const { lease, at } = this.#observed;
    const holder = lease.spec?.holderIdentity;
    if (!holder || holder === this.#options.identity) return true;
    const seconds = lease.spec?.leaseDurationSeconds ?? this.#lease / 1000;
    return this.#clock.monotonic() - at > seconds * 1000;
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
