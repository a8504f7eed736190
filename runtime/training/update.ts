/**
 * One update of all weights from their gradients, in the order of Keras: accumulate, clip, decay weights, step, average.
 * A plan says what is to be done; formulas compute it in any arithmetic.
 */
import type { Update } from "../../crds/optimizer.ts";
import { only } from "../../crds/schema.ts";
import type { Arithmetic } from "./arithmetic.ts";
import { type Schedule, scheduleOf } from "./schedule.ts";
import { type UpdateRule, updateRuleOf } from "./update-rules.ts";

export type Clipping = { norm: number } | { value: number } | { globalNorm: number };

export interface UpdatePlan {
  rule: UpdateRule;
  schedule: Schedule;
  /** 0: none. */
  weightDecay: number;
  clipping?: Clipping;
  /** Batches in an update. */
  accumulation: number;
  /** What the moving average keeps at each update. */
  averageDecay?: number;
}

function clippingOf({ clipNorm, clipValue, globalClipNorm }: Update): Clipping | undefined {
  if (clipNorm !== undefined) return { norm: clipNorm };
  if (clipValue !== undefined) return { value: clipValue };
  return globalClipNorm === undefined ? undefined : { globalNorm: globalClipNorm };
}

export function updatePlan(update: Update): UpdatePlan {
  const { optimizer, learningRateSchedule, weightDecay, gradientAccumulation = 1, movingAverage } = update;
  const [, { learningRate }] = only(optimizer);
  const clipping = clippingOf(update);
  return {
    rule: updateRuleOf(optimizer),
    schedule: scheduleOf(learningRate, learningRateSchedule),
    weightDecay: optimizer.adamw?.weightDecay ?? weightDecay ?? 0,
    ...(clipping === undefined ? {} : { clipping }),
    accumulation: gradientAccumulation,
    ...(movingAverage === undefined ? {} : { averageDecay: movingAverage.decay }),
  };
}

/** The number of the update, from 0, that the step with this number, from 0, ends; undefined when it only adds up. */
export function updateOfStep({ accumulation }: UpdatePlan, step: number): number | undefined {
  return (step + 1) % accumulation === 0 ? (step + 1) / accumulation - 1 : undefined;
}

/**
 * All numbers of the update, which counts from 0: those of the rule, and `decay` of the weights where there is one.
 * `rateFactor`: what a callback made of the rate.
 */
export function scalarsOf(plan: UpdatePlan, update: number, rateFactor = 1): Record<string, number> {
  const { rule, schedule, weightDecay } = plan;
  const rate = schedule(update) * rateFactor;
  return { ...rule.scalars(rate, update + 1), ...(weightDecay === 0 ? {} : { decay: rate * weightDecay }) };
}

/** A factor that brings a norm down to `limit`, and leaves smaller ones. */
const shrink = <T>(m: Arithmetic<T>, squaredNorm: T, limit: number) => m.div(limit, m.max(m.sqrt(squaredNorm), limit));

const squaredNorm = <T>(m: Arithmetic<T>, x: T) => m.sumAll(m.square(x));

/** The gradients after clipping. */
export function clipped<T>(m: Arithmetic<T>, gradients: readonly T[], clipping: Clipping | undefined): T[] {
  if (clipping === undefined) return [...gradients];
  if ("value" in clipping) return gradients.map((one) => m.min(m.max(one, -clipping.value), clipping.value));
  if ("norm" in clipping) return gradients.map((one) => m.mul(one, shrink(m, squaredNorm(m, one), clipping.norm)));
  const [first, ...others] = gradients.map((one) => squaredNorm(m, one));
  if (first === undefined) return [];
  const factor = shrink(
    m,
    others.reduce((sum, one) => m.add(sum, one), first),
    clipping.globalNorm,
  );
  return gradients.map((one) => m.mul(one, factor));
}

/** The weight and its slots after the update; `gradient` is clipped already. */
export function updated<T>(
  m: Arithmetic<T>,
  { rule, weightDecay }: UpdatePlan,
  {
    weight,
    gradient,
    slots,
    scalar,
  }: { weight: T; gradient: T; slots: readonly T[]; scalar: (name: string) => T | number },
): { weight: T; slots: T[] } {
  const decayed = weightDecay === 0 ? weight : m.sub(weight, m.mul(weight, scalar("decay")));
  const next = rule.change(m, { weight: decayed, gradient, slots, scalar });
  return { weight: m.sub(decayed, next.change), slots: next.slots };
}

/** The moving average after an update; the first update's weights are the first average. */
export function averaged<T>(m: Arithmetic<T>, average: T, weight: T, decay: number, update: number): T {
  return update === 0 ? weight : m.add(m.mul(average, decay), m.mul(weight, 1 - decay));
}
