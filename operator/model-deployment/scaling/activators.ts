/** What the operator knows of the activators: where they are, what they hold and on which ports they listen. */
import { ActivatorLoad } from "../../../crds/contract/load.ts";
import { type Clock, sleep } from "../../kernel/clock.ts";
import { Connections } from "../../kernel/exchange.ts";
import { askPod } from "../../pods/ask.ts";

/** Asks an activator for news; undefined where it gives no valid answer. Never throws. */
export type AskActivator = (
  address: string,
  known: ActivatorLoad | undefined,
  signal: AbortSignal,
) => Promise<ActivatorLoad | undefined>;

const RETRY_MILLISECONDS = 500;
/** Changes are looked at no more often. */
const PAUSE_MILLISECONDS = 20;

export interface ActivatorsOptions {
  readonly clock: Clock;
  readonly ask: AskActivator;
  /** The activators' addresses, as they are now. */
  readonly addresses: () => readonly string[];
  /** The requests held for this port have changed. */
  readonly demanded: (port: number) => void;
  /** Another activator listens on this port, or does no more. */
  readonly listening: (port: number) => void;
}

export class Activators {
  readonly #options: ActivatorsOptions;
  readonly #loads = new Map<string, ActivatorLoad>();
  readonly #following = new Map<string, AbortController>();

  constructor(options: ActivatorsOptions) {
    this.#options = options;
  }

  get addresses(): readonly string[] {
    return this.#options.addresses();
  }

  /** Requests that all of them hold for a port. */
  held(port: number): number {
    let sum = 0;
    for (const load of this.#loads.values()) sum += load.ports.find((one) => one.port === port)?.waiting ?? 0;
    return sum;
  }

  /** Whoever is sent to any of them on this port is heard. */
  listen(port: number): boolean {
    const { addresses } = this;
    const hears = (address: string) => this.#loads.get(address)?.ports.some((one) => one.port === port) === true;
    return addresses.length > 0 && addresses.every(hears);
  }

  /** Follows the activators that there are, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const { addresses } = this;
      for (const address of addresses) if (!this.#following.has(address)) void this.#follow(address, signal);
      for (const [address, following] of this.#following) if (!addresses.includes(address)) following.abort();
      await sleep(clock, RETRY_MILLISECONDS, signal);
    }
  }

  async #follow(address: string, signal: AbortSignal): Promise<void> {
    const { clock, ask } = this.#options;
    const own = new AbortController();
    const ending = AbortSignal.any([signal, own.signal]);
    this.#following.set(address, own);
    while (!ending.aborted) {
      const load = await ask(address, this.#loads.get(address), ending);
      if (ending.aborted) break;
      this.#take(address, load);
      await sleep(clock, load === undefined ? RETRY_MILLISECONDS : PAUSE_MILLISECONDS, ending);
    }
    this.#take(address, undefined);
    this.#following.delete(address);
  }

  #take(address: string, load: ActivatorLoad | undefined): void {
    const before = new Map((this.#loads.get(address)?.ports ?? []).map(({ port, waiting }) => [port, waiting]));
    const after = new Map((load?.ports ?? []).map(({ port, waiting }) => [port, waiting]));
    if (load === undefined) this.#loads.delete(address);
    else this.#loads.set(address, load);
    for (const port of new Set([...before.keys(), ...after.keys()])) {
      if (before.has(port) !== after.has(port)) this.#options.listening(port);
      if ((before.get(port) ?? 0) !== (after.get(port) ?? 0)) this.#options.demanded(port);
    }
  }
}

/** By its management port; waits for news as long as the activator does. */
export function askActivators(port: number): { readonly ask: AskActivator; close(): void } {
  const connections = new Connections("http:");
  return {
    ask: async (ip, known, signal) => {
      const query =
        known === undefined ? "" : `?instance=${encodeURIComponent(known.instance)}&version=${known.version}`;
      const question = { ip, port, path: `/load${query}`, milliseconds: 15_000, bytes: 1024 * 1024, signal };
      const parsed = ActivatorLoad.safeParse(await askPod(connections, question));
      return parsed.success ? parsed.data : undefined;
    },
    close: () => connections.destroy(),
  };
}
