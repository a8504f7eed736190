/**
 * The formulas by which optimizers change a weight, as Keras 3 has them. Other than in tfjs, Adam adds epsilon before the
 * bias correction, and momentum holds the learning rate. Updates count from 1.
 */
import type { Optimizer } from "../../crds/optimizer.ts";
import { only } from "../../crds/schema.ts";
import type { Arithmetic } from "./arithmetic.ts";

/** What an optimizer remembers of each weight, in the shape of the weight. */
export interface Slot {
  name: string;
  /** Its value before the first update. */
  initial: number;
}

export interface Step<T> {
  gradient: T;
  weight: T;
  /** In the order of the rule's slots. */
  slots: readonly T[];
  /** Numbers of this update, as `scalars` gave them: numbers, or nodes that are fed. */
  scalar: (name: string) => T | number;
}

export interface UpdateRule {
  /** Present for Adam as it was published, which an engine may have in one operation. */
  adam?: { beta1: number; beta2: number; epsilon: number };
  slots: readonly Slot[];
  /** What depends on the learning rate and on the number of the update only. */
  scalars: (rate: number, update: number) => Record<string, number>;
  /** The change that is subtracted from the weight, and the next values of the slots. */
  change: <T>(m: Arithmetic<T>, step: Step<T>) => { change: T; slots: T[] };
}

type Shapes = Required<{ [K in keyof Exclude<Optimizer, undefined>]: unknown }>;
type Settings<K extends keyof Shapes> = Exclude<Optimizer[K], undefined>;

const zero = (...names: string[]): Slot[] => names.map((name) => ({ name, initial: 0 }));

/** The `index`-th slot of a rule, which has as many as it says. */
function slot<T>({ slots }: Step<T>, index: number): T {
  const found = slots[index];
  if (found === undefined) throw new RangeError(`an optimizer has no slot ${index}`);
  return found;
}

/** before * decay + value * (1 - decay) */
const mix = <T>(m: Arithmetic<T>, before: T, value: T, decay: number) =>
  m.add(m.mul(before, decay), m.mul(value, 1 - decay));

/** before + (value - before) * (1 - decay): the same, rounded as Keras does in Adam. */
const approach = <T>(m: Arithmetic<T>, before: T, value: T, decay: number) =>
  m.add(before, m.mul(m.sub(value, before), 1 - decay));

function sgd({ momentum, nesterov }: Settings<"sgd">): UpdateRule {
  return {
    slots: momentum === 0 ? [] : zero("momentum"),
    scalars: (rate) => ({ rate }),
    change(m, step) {
      const plain = m.mul(step.gradient, step.scalar("rate"));
      if (momentum === 0) return { change: plain, slots: [] };
      const velocity = m.sub(m.mul(slot(step, 0), momentum), plain);
      const change = nesterov ? m.sub(plain, m.mul(velocity, momentum)) : m.neg(velocity);
      return { change, slots: [velocity] };
    },
  };
}

function rmsprop({ rho, momentum, epsilon, centered }: Settings<"rmsprop">): UpdateRule {
  const names = ["velocity", ...(centered ? ["gradient"] : []), ...(momentum === 0 ? [] : ["momentum"])];
  return {
    slots: zero(...names),
    scalars: (rate) => ({ rate }),
    change(m, step) {
      const velocity = mix(m, slot(step, 0), m.square(step.gradient), rho);
      const mean = centered ? [mix(m, slot(step, 1), step.gradient, rho)] : [];
      const spread = mean.reduce((left, one) => m.sub(left, m.square(one)), velocity);
      const plain = m.div(m.mul(step.gradient, step.scalar("rate")), m.sqrt(m.add(spread, epsilon)));
      if (momentum === 0) return { change: plain, slots: [velocity, ...mean] };
      const carried = m.add(m.mul(slot(step, names.length - 1), momentum), plain);
      return { change: carried, slots: [velocity, ...mean, carried] };
    },
  };
}

function adam({ beta1, beta2, epsilon, amsgrad = false }: Settings<"adam">): UpdateRule {
  return {
    ...(amsgrad ? {} : { adam: { beta1, beta2, epsilon } }),
    slots: zero("momentum", "velocity", ...(amsgrad ? ["largest velocity"] : [])),
    scalars: (rate, update) => ({ size: (rate * Math.sqrt(1 - beta2 ** update)) / (1 - beta1 ** update) }),
    change(m, step) {
      const momentum = approach(m, slot(step, 0), step.gradient, beta1);
      const velocity = approach(m, slot(step, 1), m.square(step.gradient), beta2);
      const largest = amsgrad ? [m.max(slot(step, 2), velocity)] : [];
      const [divisor = velocity] = largest;
      const change = m.div(m.mul(momentum, step.scalar("size")), m.add(m.sqrt(divisor), epsilon));
      return { change, slots: [momentum, velocity, ...largest] };
    },
  };
}

function adagrad({ initialAccumulator, epsilon }: Settings<"adagrad">): UpdateRule {
  return {
    slots: [{ name: "accumulator", initial: initialAccumulator }],
    scalars: (rate) => ({ rate }),
    change(m, step) {
      const accumulator = m.add(slot(step, 0), m.square(step.gradient));
      const change = m.div(m.mul(step.gradient, step.scalar("rate")), m.sqrt(m.add(accumulator, epsilon)));
      return { change, slots: [accumulator] };
    },
  };
}

const root = <T>(m: Arithmetic<T>, x: T, epsilon: number) => m.sqrt(m.add(x, epsilon));

function adadelta({ rho, epsilon }: Settings<"adadelta">): UpdateRule {
  return {
    slots: zero("gradients", "changes"),
    scalars: (rate) => ({ rate }),
    change(m, step) {
      const gradients = mix(m, slot(step, 0), m.square(step.gradient), rho);
      const delta = m.div(m.mul(root(m, slot(step, 1), epsilon), step.gradient), root(m, gradients, epsilon));
      const changes = mix(m, slot(step, 1), m.square(delta), rho);
      return { change: m.mul(delta, step.scalar("rate")), slots: [gradients, changes] };
    },
  };
}

function adamax({ beta1, beta2, epsilon }: Settings<"adamax">): UpdateRule {
  return {
    slots: zero("momentum", "norm"),
    scalars: (rate, update) => ({ size: rate / (1 - beta1 ** update) }),
    change(m, step) {
      const momentum = approach(m, slot(step, 0), step.gradient, beta1);
      const norm = m.max(m.mul(slot(step, 1), beta2), m.abs(step.gradient));
      return { change: m.div(m.mul(momentum, step.scalar("size")), m.add(norm, epsilon)), slots: [momentum, norm] };
    },
  };
}

/** Nesterov's momentum in Adam, with a momentum that grows: Dozat, "Incorporating Nesterov Momentum into Adam", 2016. */
function nadam({ beta1, beta2, epsilon }: Settings<"nadam">): UpdateRule {
  const momentumOf = (update: number) => beta1 * (1 - 0.5 * 0.96 ** update);
  const products = [1];
  const productUpTo = (update: number): number => {
    for (let next = products.length; next <= update; next += 1)
      products.push((products[next - 1] ?? 1) * momentumOf(next));
    return products[update] ?? 1;
  };
  return {
    slots: zero("momentum", "velocity"),
    scalars: (rate, update) => ({
      ofMomentum: (rate * momentumOf(update + 1)) / (1 - productUpTo(update + 1)),
      ofGradient: (rate * (1 - momentumOf(update))) / (1 - productUpTo(update)),
      ofVelocity: 1 / (1 - beta2 ** update),
    }),
    change(m, step) {
      const { gradient, scalar } = step;
      const momentum = approach(m, slot(step, 0), gradient, beta1);
      const velocity = approach(m, slot(step, 1), m.square(gradient), beta2);
      const ahead = m.add(m.mul(momentum, scalar("ofMomentum")), m.mul(gradient, scalar("ofGradient")));
      const root = m.sqrt(m.mul(velocity, scalar("ofVelocity")));
      return { change: m.div(ahead, m.add(root, epsilon)), slots: [momentum, velocity] };
    },
  };
}

/** Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023. */
function lion({ beta1, beta2 }: Settings<"lion">): UpdateRule {
  return {
    slots: zero("momentum"),
    scalars: (rate) => ({ rate }),
    change(m, step) {
      const direction = m.sign(mix(m, slot(step, 0), step.gradient, beta1));
      return { change: m.mul(direction, step.scalar("rate")), slots: [mix(m, slot(step, 0), step.gradient, beta2)] };
    },
  };
}

/** The rule of a declared optimizer. Weight decay is no part of it. */
export function updateRuleOf(declared: Optimizer): UpdateRule {
  const [name, settings] = only(declared);
  switch (name) {
    case "sgd":
      return sgd(settings);
    case "rmsprop":
      return rmsprop(settings);
    case "adam":
    case "adamw":
      return adam(settings);
    case "adagrad":
      return adagrad(settings);
    case "adadelta":
      return adadelta(settings);
    case "adamax":
      return adamax(settings);
    case "nadam":
      return nadam(settings);
    case "lion":
      return lion(settings);
  }
}
