/** Which candidate is kept, and why. */
import { type Candidate, CANDIDATES_LIMIT } from "../../crds/optimization-job.ts";
import { type Comparison, type Goals, missedGoals, show, totalShortfall } from "./goals.ts";

/** A candidate that was measured; without comparison: one that could not be made, and why. */
export interface Tried {
  name: string;
  comparison?: Comparison;
  failure?: string;
}

interface Measured extends Tried {
  comparison: Comparison;
}

const isMeasured = (tried: Tried): tried is Measured => tried.comparison !== undefined;

/** Accuracy (the negative loss where there is none), bytes and latency, all with more being better. */
function merits({ comparison: { after } }: Measured): number[] {
  return [after.accuracy ?? -(after.loss ?? Infinity), -after.bytes, -after.latencyP50Milliseconds];
}

/** Is `a` at least as good as `b` in everything, and better in something? */
function dominates(a: readonly number[], b: readonly number[]): boolean {
  return a.every((merit, index) => merit >= (b[index] ?? NaN)) && a.some((merit, index) => merit > (b[index] ?? NaN));
}

/** Those that no other dominates. */
function frontOf(candidates: readonly Measured[]): Set<Tried> {
  const all = candidates.map((candidate) => ({ candidate, merit: merits(candidate) }));
  const best = all.filter(({ merit }) => !all.some((other) => dominates(other.merit, merit)));
  return new Set(best.map(({ candidate }) => candidate));
}

/** What is won: how many times smaller, times how many times faster. */
const gain = ({ comparison: { sizeRatio, speedup } }: Measured) => sizeRatio * speedup;

export interface Choice {
  /** Number of the one that is kept. */
  chosen: number;
  candidates: Candidate[];
}

/** `last`: all methods were asked for, so that the last candidate is kept when it reaches the goals. */
function pick(candidates: readonly Measured[], goals: Goals, last: Tried | undefined): { best: Measured; why: string } {
  const reaching = candidates.filter(({ comparison }) => missedGoals(goals, comparison).length === 0);
  const wanted = reaching.find((candidate) => candidate === last);
  if (wanted !== undefined) return { best: wanted, why: "all methods were applied, and every goal is reached" };
  const [first, ...others] = reaching.length > 0 ? reaching : candidates;
  if (first === undefined) throw new RangeError("there is no candidate to choose from");
  if (reaching.length > 0) {
    const best = others.reduce((a, b) => (gain(b) > gain(a) ? b : a), first);
    return {
      best,
      why: `most gain (${show(gain(best))}: size ratio x speedup) of the ${reaching.length} that reach every goal`,
    };
  }
  const missing = ({ comparison }: Measured) => totalShortfall(goals, comparison);
  const best = others.reduce(
    (a, b) => (missing(b) < missing(a) || (missing(b) === missing(a) && gain(b) > gain(a)) ? b : a),
    first,
  );
  return {
    best,
    why: `none reaches every goal; this one misses least: ${missedGoals(goals, best.comparison).join("; ")}`,
  };
}

function reasonAgainst(candidate: Tried, goals: Goals, front: ReadonlySet<Tried>, best: Measured): string {
  if (!isMeasured(candidate)) return `could not be made: ${candidate.failure ?? "unknown"}`;
  const missed = missedGoals(goals, candidate.comparison);
  if (missed.length > 0) return `misses ${missed.join("; ")}`;
  if (!front.has(candidate)) return "another is at least as accurate, small and fast";
  return `reaches every goal, with less gain (${show(gain(candidate))}) than "${best.name}"`;
}

const short = (text: string) => (text.length > 256 ? `${text.slice(0, 253)}...` : text);

function described(tried: Tried, why: string): Candidate {
  const { name, comparison } = tried;
  if (comparison === undefined) return { methods: short(name), why: short(why) };
  const { after, sizeRatio, speedup } = comparison;
  const { bytes, compressedBytes, parameters, accuracy, latencyP50Milliseconds } = after;
  return {
    methods: short(name),
    bytes,
    ...(compressedBytes === undefined ? {} : { compressedBytes }),
    parameters,
    ...(accuracy === undefined ? {} : { accuracy }),
    latencyP50Milliseconds,
    sizeRatio,
    speedup,
    why: short(why),
  };
}

const rank = ({ chosen, onFront }: Candidate) => (chosen === true ? 0 : onFront === true ? 1 : 2);

/** Of more candidates than `limit`, the chosen one and those of the front stay, then the first; in their order. */
export function limited(candidates: readonly Candidate[], limit: number): Candidate[] {
  const kept = new Set(candidates.toSorted((a, b) => rank(a) - rank(b)).slice(0, limit));
  return candidates.filter((candidate) => kept.has(candidate));
}

/**
 * Chooses among what was tried, in order. With `search` all that reach the goals compete; else the last, to which all
 * methods were applied, is wanted. Throws RangeError when none was measured.
 */
export function choose(tried: readonly Tried[], goals: Goals, search: boolean): Choice {
  const measured = tried.filter(isMeasured);
  const { best, why } = pick(measured, goals, search ? undefined : tried.at(-1));
  const front = frontOf(measured);
  const candidates = tried.map((candidate): Candidate => {
    const isBest = candidate === best;
    return {
      ...described(candidate, isBest ? why : reasonAgainst(candidate, goals, front, best)),
      onFront: front.has(candidate),
      chosen: isBest,
    };
  });
  return { chosen: tried.indexOf(best), candidates: limited(candidates, CANDIDATES_LIMIT) };
}
