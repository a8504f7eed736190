/** Which channels matter least. */
import { sizeOf } from "../../data/dataset.ts";
import { Labels } from "./labels.ts";
import type { Analysis, WeightSite } from "./analysis.ts";
import type { Weights } from "./weights.ts";

/** How a channel's importance is told, as in crds/optimization-job.ts. */
export type Criterion = "L1Norm" | "L2Norm" | "BatchNormScale";

type Scores = Map<number, number>;

const add = (scores: Scores, label: number, value: number) => scores.set(label, (scores.get(label) ?? 0) + value);

/** Norm of each channel's part of a weight. */
function norms(labels: Labels, site: WeightSite, { shape, data }: Weights, squared: boolean): Scores {
  const inner = sizeOf(shape.slice(site.axis + 1));
  const length = shape[site.axis] ?? 1;
  const roots = site.labels.map((label) => labels.find(label));
  const sums: Scores = new Map();
  data.forEach((value, index) => {
    const root = roots[Math.floor(index / inner) % length];
    if (root !== undefined) add(sums, root, squared ? value * value : Math.abs(value));
  });
  return squared ? new Map([...sums].map(([root, sum]) => [root, Math.sqrt(sum)])) : sums;
}

/** Layers whose weights are small on the whole are as important as others: norms count in relation to their mean. */
function addRelative(scores: Scores, found: Scores): void {
  const mean = [...found.values()].reduce((sum, value) => sum + value, 0) / found.size;
  for (const [root, value] of found) add(scores, root, mean === 0 ? 0 : value / mean);
}

/** Of each label; channels that several layers make have the sum of what they are to each. */
export function importance(
  { labels, sites }: Analysis,
  weights: ReadonlyMap<string, Weights>,
  criterion: Criterion,
): Scores {
  const scoresOf = (role: WeightSite["role"]) => {
    const scores: Scores = new Map();
    for (const site of sites.filter((one) => one.role === role)) {
      const weight = weights.get(site.weight);
      if (weight !== undefined) addRelative(scores, norms(labels, site, weight, criterion !== "L1Norm"));
    }
    return scores;
  };
  const made = scoresOf("Maker");
  if (criterion !== "BatchNormScale") return made;
  // A channel without batch normalization is ranked by its kernel.
  return new Map([...made, ...scoresOf("Scale")]);
}

/** Channels that are ranked against each other: those of one layer, and of all layers that share channels with it. */
function groupsOf({ labels, sites }: Analysis): number[][] {
  const groups = new Labels();
  const ids = new Map<number, number>();
  const idOf = (root: number) => {
    const known = ids.get(root) ?? groups.fresh(1)[0] ?? 0;
    ids.set(root, known);
    return known;
  };
  for (const { labels: own, role } of sites) {
    if (role !== "Maker") continue;
    const [first, ...others] = own.map((label) => idOf(labels.find(label)));
    if (first !== undefined) for (const other of others) groups.union(first, other);
  }
  const byGroup = Map.groupBy(ids.keys(), (root) => groups.find(ids.get(root) ?? 0));
  return [...byGroup.values()];
}

/** Leaves every layer at least one channel. */
class Guard {
  readonly #left: Map<number, number>[];

  constructor({ labels, sites }: Analysis) {
    this.#left = sites
      .filter(({ role }) => role === "Maker")
      .map((site) => {
        const counts = new Map<number, number>();
        for (const label of site.labels) add(counts, labels.find(label), 1);
        return counts;
      });
  }

  /** Takes the channel out, if every layer has others. */
  take(root: number): boolean {
    const users = this.#left.filter((counts) => counts.has(root));
    if (users.some((counts) => counts.size === 1)) return false;
    for (const counts of users) counts.delete(root);
    return true;
  }
}

/**
 * Labels of `sparsity` of the channels that may be removed, those that matter least: of each layer, or of layers that
 * share channels. Of equal ones the last go.
 */
export function leastImportant(
  analysis: Analysis,
  weights: ReadonlyMap<string, Weights>,
  sparsity: number,
  criterion: Criterion,
): Set<number> {
  const scores = importance(analysis, weights, criterion);
  const guard = new Guard(analysis);
  const removed = new Set<number>();
  for (const group of groupsOf(analysis)) {
    const free = group.filter((root) => !analysis.labels.isPinned(root));
    const ranked = free.toSorted((a, b) => (scores.get(a) ?? 0) - (scores.get(b) ?? 0) || b - a);
    let left = Math.round(free.length * sparsity);
    for (const root of ranked) {
      if (left === 0) break;
      if (!guard.take(root)) continue;
      removed.add(root);
      left -= 1;
    }
  }
  return removed;
}
