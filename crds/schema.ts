/** Building blocks that give one definition both lives: a zod check offline and a structural schema with CEL in the CRD. */
import { z } from "zod";

/** One CEL validation as it appears under `x-kubernetes-validations`. */
export interface CelRule {
  rule: string;
  message: string;
  fieldPath?: string;
  reason?: "FieldValueInvalid" | "FieldValueForbidden" | "FieldValueRequired" | "FieldValueDuplicate";
}

interface Rule<T> extends CelRule {
  /** The same condition for offline validation. */
  holds: (value: T) => boolean;
}

const VALIDATIONS = "x-kubernetes-validations";

/** Adds a rule to `schema`: CEL for the API server, a refinement for offline validation. */
export function withRule<T extends z.ZodType>(schema: T, { holds, ...cel }: Rule<z.output<T>>): T {
  const meta = schema.meta() ?? {};
  const before = (meta[VALIDATIONS] as CelRule[] | undefined) ?? [];
  const path = cel.fieldPath === undefined ? [] : cel.fieldPath.split(".").filter((part) => part !== "");
  const refined = schema.refine((value) => holds(value), { message: cel.message, path });
  return refined.meta({ ...meta, [VALIDATIONS]: [...before, cel] });
}

/** Adds several rules. */
export function withRules<T extends z.ZodType>(schema: T, rules: readonly Rule<z.output<T>>[]): T {
  return rules.reduce((checked, rule) => withRule(checked, rule), schema);
}

/** Exactly one key of `Shapes`. */
export type OneOf<Shapes> = {
  [K in keyof Shapes]: { [P in K]: Shapes[K] } & { [P in Exclude<keyof Shapes, K>]?: never };
}[keyof Shapes];

type Outputs<S extends z.ZodRawShape> = { [K in keyof S]: z.output<S[K]> };

/** An object with exactly one of the given properties; cheap in a CRD (minProperties, maxProperties). */
export function oneOf<S extends z.ZodRawShape>(shapes: S, description: string): z.ZodType<OneOf<Outputs<S>>> {
  const names = Object.keys(shapes);
  const optional = Object.fromEntries(names.map((name) => [name, (shapes[name] as z.ZodType).optional()]));
  const schema = z
    .strictObject(optional)
    .refine((value) => Object.keys(value).length === 1, { message: `must have exactly one of: ${names.join(", ")}` })
    .meta({ description, minProperties: 1, maxProperties: 1 });
  // zod has no type for "exactly one of"; the refinement above guarantees it.
  return schema as unknown as z.ZodType<OneOf<Outputs<S>>>;
}

type EntryOf<T> = T extends unknown
  ? { [K in keyof T]-?: T[K] extends undefined ? never : [K, Exclude<T[K], undefined>] }[keyof T]
  : never;

/** The one entry of a `oneOf` value: `[name, settings]`. */
export function only<T extends object>(value: T): EntryOf<T> {
  return Object.entries(value)[0] as EntryOf<T>;
}

/** A duration as Kubernetes users write it: `30s`, `10m`, `1h30m`. */
export const Duration = (description: string) =>
  z
    .string()
    .regex(/^([0-9]{1,6}(s|m|h))+$/)
    .max(20)
    .meta({ description: `${description} (such as 30s, 10m, 1h30m)` });

/** Seconds of a `Duration`. */
export function durationSeconds(duration: string): number {
  const unit = { s: 1, m: 60, h: 3600 } as const;
  return [...duration.matchAll(/([0-9]+)([smh])/g)].reduce(
    (sum, [, amount, letter]) => sum + Number(amount) * unit[letter as keyof typeof unit],
    0,
  );
}

/** A Kubernetes quantity, as number or string. */
export const Quantity = z
  .union([z.int().min(0), z.string().regex(/^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/)])
  .meta({ "x-kubernetes-int-or-string": true });

/** A DNS label as used for names of objects in references. */
export const ObjectName = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
