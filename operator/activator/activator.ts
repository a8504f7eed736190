/** Listens on a port for each deployment that may have no pods, and keeps that in line with the routes. */
import type { ActivatorLoad } from "../../crds/contract/load.ts";
import { type Clock, sleep } from "../kernel/clock.ts";
import type { Logger } from "../kernel/logger.ts";
import { Holds, type HoldsOptions } from "./holds.ts";
import { PortListener } from "./port-listener.ts";
import type { Route } from "./routes.ts";

export interface ActivatorOptions extends Omit<HoldsOptions, "observer"> {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: HoldsOptions["observer"];
  /** Name of this process. */
  readonly instance: string;
  readonly host?: string | undefined;
}

/** Proxies learn some time later that a port is no longer to be used. */
const PARTING_MILLISECONDS = 30_000;
/** A question for news is answered after this time, news or not. */
const NEWS_MILLISECONDS = 10_000;

interface Open {
  readonly listener: PortListener;
  route: Route;
  listens: boolean;
  partingAt?: number | undefined;
}

export class Activator {
  readonly #options: ActivatorOptions;
  readonly #holds: Holds;
  readonly #open = new Map<number, Open>();
  #version = 0;
  #news: (() => void)[] = [];

  constructor(options: ActivatorOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#holds = new Holds({
      ...options,
      observer: {
        changed: (port) => {
          this.#changed();
          metrics?.changed(port);
        },
        forwarded: (seconds) => metrics?.forwarded(seconds),
        refused: (refusal) => metrics?.refused(refusal),
      },
    });
  }

  get held(): number {
    return this.#holds.held;
  }

  /** Opens and closes ports, and says where their requests may go now. */
  async route(routes: ReadonlyMap<number, Route>): Promise<void> {
    const now = this.#options.clock.monotonic();
    await Promise.all([...routes].map(([port, route]) => this.#serve(port, route)));
    for (const [port, open] of this.#open) {
      if (routes.has(port)) continue;
      open.partingAt ??= now + PARTING_MILLISECONDS;
      if (open.partingAt <= now) this.#close(port, open);
    }
  }

  load(): ActivatorLoad {
    const ports = [...this.#open]
      .filter(([, { listens }]) => listens)
      .map(([port]) => ({ port, waiting: this.#holds.waiting(port), received: this.#holds.received(port) }));
    return { version: this.#version, instance: this.#options.instance, ports };
  }

  /** As `load`, but waits for something newer than what the asker has. */
  async news(instance: string, version: number): Promise<ActivatorLoad> {
    if (instance === this.#options.instance && version === this.#version) {
      const waiting = new AbortController();
      const told = () => waiting.abort();
      this.#news.push(told);
      await sleep(this.#options.clock, NEWS_MILLISECONDS, waiting.signal);
      this.#news = this.#news.filter((other) => other !== told);
    }
    return this.load();
  }

  /** Requests that wait or are at pods. */
  get busy(): number {
    return this.#holds.open;
  }

  /** Accepts no more connections; what waits goes on waiting. */
  close(): void {
    for (const { listener } of this.#open.values()) listener.stop();
  }

  /** Ends everything. */
  destroy(): void {
    this.#holds.stop();
    for (const { listener } of this.#open.values()) listener.destroy();
    this.#open.clear();
    this.#tell();
  }

  async #serve(port: number, route: Route): Promise<void> {
    const known = this.#open.get(port);
    if (known !== undefined && known.route.service === route.service) {
      known.route = route;
      known.partingAt = undefined;
    } else {
      // A port that changes hands takes no request with it.
      if (known !== undefined) this.#close(port, known);
      await this.#listen(port, route);
    }
    this.#holds.serve(port, route.addresses);
  }

  async #listen(port: number, route: Route): Promise<void> {
    const { logger, host } = this.#options;
    const listener = new PortListener({
      port,
      host,
      admit: (request) => this.#holds.admit(port, request),
      podPort: (name) => this.#open.get(port)?.route.ports[name],
    });
    const open: Open = { listener, route, listens: false };
    this.#open.set(port, open);
    try {
      await listener.listen();
      open.listens = true;
      logger.info("listens", { port, service: route.service });
      this.#changed();
    } catch (error) {
      this.#open.delete(port);
      logger.error("a port cannot be opened; choose other ports with --ports", { port, error });
    }
  }

  #close(port: number, { listener, route }: Open): void {
    listener.destroy();
    this.#open.delete(port);
    this.#holds.forget(port);
    this.#options.logger.info("no longer listens", { port, service: route.service });
    this.#changed();
  }

  #changed(): void {
    this.#version += 1;
    this.#tell();
  }

  #tell(): void {
    for (const told of this.#news.splice(0)) told();
  }
}
