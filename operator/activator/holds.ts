/** Requests that wait for a pod: bounded, fair between deployments, none longer than its time. */
import type { Clock, Timer } from "../kernel/clock.ts";

export type Refusal = "Full" | "TimedOut" | "Stopping";

export interface HeldRequest {
  /** Milliseconds that its sender waits; less than the activator's own limit counts. */
  readonly timeout?: number | undefined;
  /** Sends it to a pod. `Unreached`: the pod got nothing of it, so that another may try. Never rejects. */
  forward(address: string): Promise<"Done" | "Unreached">;
  /** Answers it without a pod. */
  refuse(refusal: Refusal): void;
}

export interface HoldsOptions {
  readonly clock: Clock;
  /** Requests that one deployment may have waiting. */
  readonly mostPerPort: number;
  /** Requests that may wait altogether. */
  readonly most: number;
  /** Requests that one pod gets at a time. */
  readonly mostPerPod: number;
  /** Milliseconds. */
  readonly timeout: number;
  readonly observer?: HoldsObserver | undefined;
}

export interface HoldsObserver {
  /** Requests came or went for this port. */
  changed(port: number): void;
  forwarded(seconds: number): void;
  refused(refusal: Refusal): void;
}

interface Waiting {
  readonly request: HeldRequest;
  readonly port: number;
  readonly since: number;
  readonly timer: Timer;
}

/** What is known of one port. */
interface Gate {
  waiting: Waiting[];
  /** Requests at each pod. Pods that are gone stay until their last request has ended. */
  readonly pods: Map<string, { ready: boolean; active: number; restingUntil: number }>;
  received: number;
}

/** How long a pod that could not be reached gets nothing. */
const REST_MILLISECONDS = 200;

export class Holds {
  readonly #options: HoldsOptions;
  readonly #gates = new Map<number, Gate>();
  #count = 0;
  #stopping = false;

  constructor(options: HoldsOptions) {
    this.#options = options;
  }

  /** Requests that wait, and those that pods have got and not answered. */
  get open(): number {
    let active = 0;
    for (const { pods } of this.#gates.values()) for (const pod of pods.values()) active += pod.active;
    return this.#count + active;
  }

  get held(): number {
    return this.#count;
  }

  waiting(port: number): number {
    return this.#gates.get(port)?.waiting.length ?? 0;
  }

  received(port: number): number {
    return this.#gates.get(port)?.received ?? 0;
  }

  /** The pods that are ready now. */
  serve(port: number, addresses: readonly string[]): void {
    const { pods } = this.#gate(port);
    for (const [address, pod] of pods) {
      pod.ready = addresses.includes(address);
      if (!pod.ready && pod.active === 0) pods.delete(address);
    }
    for (const address of addresses) {
      if (!pods.has(address)) pods.set(address, { ready: true, active: 0, restingUntil: 0 });
    }
    this.#dispatch(port);
  }

  /** Takes a request, and passes it on at once where a pod is free. Returns how to withdraw it. */
  admit(port: number, request: HeldRequest): () => void {
    const { clock, timeout } = this.#options;
    const gate = this.#gate(port);
    gate.received += 1;
    if (this.#stopping || !this.#hasRoom(port)) {
      this.#refuse(request, this.#stopping ? "Stopping" : "Full");
      return () => undefined;
    }
    const limit = Math.min(timeout, request.timeout ?? timeout);
    const waiting: Waiting = {
      request,
      port,
      since: clock.monotonic(),
      timer: clock.setTimeout(() => this.#end(waiting, "TimedOut"), limit),
    };
    gate.waiting.push(waiting);
    this.#count += 1;
    this.#dispatch(port);
    if (gate.waiting.includes(waiting)) this.#options.observer?.changed(port);
    return () => {
      this.#remove(waiting);
    };
  }

  /** Refuses what waits, and what comes from now on. */
  stop(): void {
    this.#stopping = true;
    for (const { waiting } of this.#gates.values()) for (const one of waiting.slice()) this.#end(one, "Stopping");
  }

  /** Nobody asks for this port any more. */
  forget(port: number): void {
    for (const one of this.#gates.get(port)?.waiting.slice() ?? []) this.#end(one, "Stopping");
    this.#gates.delete(port);
  }

  #gate(port: number): Gate {
    const known = this.#gates.get(port);
    if (known !== undefined) return known;
    const gate: Gate = { waiting: [], pods: new Map(), received: 0 };
    this.#gates.set(port, gate);
    return gate;
  }

  /** When all together are too many, whoever has most gives way to who has fewer. */
  #hasRoom(port: number): boolean {
    const { most, mostPerPort } = this.#options;
    const own = this.waiting(port);
    if (own >= mostPerPort) return false;
    if (this.#count < most) return true;
    const [longest] = [...this.#gates.values()].toSorted((a, b) => b.waiting.length - a.waiting.length);
    const newest = longest?.waiting.at(-1);
    if (newest === undefined || (longest?.waiting.length ?? 0) <= own + 1) return false;
    this.#end(newest, "Full");
    return true;
  }

  #end(waiting: Waiting, refusal: Refusal): void {
    if (this.#remove(waiting)) this.#refuse(waiting.request, refusal);
  }

  #refuse(request: HeldRequest, refusal: Refusal): void {
    this.#options.observer?.refused(refusal);
    request.refuse(refusal);
  }

  #remove(waiting: Waiting): boolean {
    const queue = this.#gates.get(waiting.port)?.waiting ?? [];
    const index = queue.indexOf(waiting);
    if (index === -1) return false;
    queue.splice(index, 1);
    this.#count -= 1;
    this.#options.clock.clearTimeout(waiting.timer);
    this.#options.observer?.changed(waiting.port);
    return true;
  }

  /** Oldest first, to the pods that have least to do. */
  #dispatch(port: number): void {
    const gate = this.#gates.get(port);
    if (gate === undefined) return;
    for (;;) {
      const [oldest] = gate.waiting;
      const pod = oldest && this.#freest(gate);
      if (oldest === undefined || pod === undefined) return;
      this.#remove(oldest);
      void this.#forward(gate, oldest, pod);
    }
  }

  #freest({ pods }: Gate): string | undefined {
    const now = this.#options.clock.monotonic();
    const free = [...pods].filter(
      ([, { ready, active, restingUntil }]) => ready && active < this.#options.mostPerPod && restingUntil <= now,
    );
    return free.toSorted(([, a], [, b]) => a.active - b.active)[0]?.[0];
  }

  async #forward(gate: Gate, waiting: Waiting, address: string): Promise<void> {
    const { clock, observer } = this.#options;
    const pod = gate.pods.get(address);
    if (pod === undefined) return;
    pod.active += 1;
    observer?.forwarded((clock.monotonic() - waiting.since) / 1000);
    const outcome = await waiting.request.forward(address);
    pod.active -= 1;
    if (!pod.ready && pod.active === 0) gate.pods.delete(address);
    if (outcome === "Unreached") this.#again(gate, waiting, pod);
    this.#dispatch(waiting.port);
  }

  /** It keeps its place, and what is left of its time. */
  #again(gate: Gate, { request, port, since }: Waiting, pod: { restingUntil: number }): void {
    const { clock, timeout } = this.#options;
    pod.restingUntil = clock.monotonic() + REST_MILLISECONDS;
    clock.setTimeout(() => this.#dispatch(port), REST_MILLISECONDS);
    const left = since + Math.min(timeout, request.timeout ?? timeout) - clock.monotonic();
    if (left <= 0 || this.#stopping) {
      this.#refuse(request, this.#stopping ? "Stopping" : "TimedOut");
      return;
    }
    const again: Waiting = {
      request,
      port,
      since,
      timer: clock.setTimeout(() => this.#end(again, "TimedOut"), left),
    };
    gate.waiting.unshift(again);
    this.#count += 1;
    this.#options.observer?.changed(port);
  }
}
