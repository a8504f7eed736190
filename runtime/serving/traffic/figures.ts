/** What became of requests during a stage of a rollout, and in its last seconds. */
import { bucketOf, merged } from "../../../crds/contract/histogram.ts";
import type { Figures, Window } from "../../../crds/contract/traffic.ts";
import type { Clock } from "../clock.ts";

const HALF_MILLISECONDS = 10_000;

export class TrafficFigures {
  readonly #clock: Clock;
  #stage = emptyWindow();
  #halves: [Window, Window] = [emptyWindow(), emptyWindow()];
  #turnedAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#turnedAt = clock.now();
  }

  /** A new stage begins with nothing. */
  reset(): void {
    this.#stage = emptyWindow();
    this.#halves = [emptyWindow(), emptyWindow()];
    this.#turnedAt = this.#clock.now();
  }

  get stage(): Window {
    return this.#stage;
  }

  get recent(): Window {
    this.#turn();
    const [a, b] = this.#halves;
    return {
      diverted: sum(a.diverted, b.diverted),
      local: sum(a.local, b.local),
      shadow: {
        compared: a.shadow.compared + b.shadow.compared,
        drifted: a.shadow.drifted + b.shadow.drifted,
      },
    };
  }

  /** `seconds`: absent where it is not known. */
  count(who: "diverted" | "local", failed: boolean, seconds: number | undefined): void {
    for (const window of this.#windows()) {
      const figures = window[who];
      figures.requests += 1;
      if (failed) figures.failed += 1;
      if (seconds === undefined) continue;
      const bucket = bucketOf(seconds);
      figures.latency[bucket] = (figures.latency[bucket] ?? 0) + 1;
    }
  }

  compared(drifted: boolean): void {
    for (const { shadow } of this.#windows()) {
      shadow.compared += 1;
      if (drifted) shadow.drifted += 1;
    }
  }

  #windows(): readonly Window[] {
    this.#turn();
    return [this.#stage, this.#halves[0]];
  }

  #turn(): void {
    const age = this.#clock.now() - this.#turnedAt;
    if (age < HALF_MILLISECONDS) return;
    this.#halves = [emptyWindow(), age < 2 * HALF_MILLISECONDS ? this.#halves[0] : emptyWindow()];
    this.#turnedAt = this.#clock.now();
  }
}

function emptyFigures(): Figures {
  return { requests: 0, failed: 0, latency: {} };
}

function emptyWindow(): Window {
  return { diverted: emptyFigures(), local: emptyFigures(), shadow: { compared: 0, drifted: 0 } };
}

function sum(a: Figures, b: Figures): Figures {
  return {
    requests: a.requests + b.requests,
    failed: a.failed + b.failed,
    latency: merged([a.latency, b.latency]),
  };
}
