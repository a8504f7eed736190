/** The fields of a CRD, and manifests in which each of them is set and then changed. */

export interface Schema {
  type?: string;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMaximum?: boolean;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
  "x-kubernetes-int-or-string"?: boolean;
}

export interface Field {
  /** Such as `model.layers[].dense.units`; `*` stands for any key of a map. */
  readonly path: string;
  readonly schema: Schema;
}

/** All fields that hold a value: leaves of the schema. */
export function fieldsOf(schema: Schema, path = ""): Field[] {
  const below = (name: string) => (path === "" ? name : `${path}.${name}`);
  if (schema.properties !== undefined && Object.keys(schema.properties).length > 0) {
    return Object.entries(schema.properties).flatMap(([name, child]) => fieldsOf(child, below(name)));
  }
  if (schema.items !== undefined) return fieldsOf(schema.items, `${path}[]`);
  if (schema.additionalProperties !== undefined) return fieldsOf(schema.additionalProperties, below("*"));
  return [{ path, schema }];
}

type Node = Record<string, unknown> | unknown[];

interface Place {
  readonly holder: Node;
  readonly key: string | number;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null;
}

/** Where in a spec a field is set first; undefined where it is not. */
function placeOf(spec: Node, path: string): Place | undefined {
  const steps = path.split(".").flatMap((step) => step.split(/(?=\[\])/));
  const find = (node: unknown, rest: string[]): Place | undefined => {
    const [step, ...more] = rest;
    if (step === undefined || !isNode(node)) return undefined;
    const keys: (string | number)[] = Array.isArray(node)
      ? step === "[]"
        ? [...node.keys()]
        : []
      : step === "*"
        ? Object.keys(node)
        : step in node
          ? [step]
          : [];
    for (const key of keys) {
      if (more.length === 0) return { holder: node, key };
      const found = find((node as Record<string | number, unknown>)[key], more);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return find(spec, steps);
}

export function hasField(spec: Node, path: string): boolean {
  return placeOf(spec, path) !== undefined;
}

/** Gives a field of a spec another value that its schema allows. False: there is no other. */
export function changeField(spec: Node, { path, schema }: Field): boolean {
  const place = placeOf(spec, path);
  if (place === undefined) throw new Error(`${path} is not set`);
  const holder = place.holder as Record<string | number, unknown>;
  const next = otherValue(schema, holder[place.key]);
  if (next === undefined) return false;
  holder[place.key] = next;
  return true;
}

function otherValue(schema: Schema, value: unknown): unknown {
  if (schema.enum !== undefined) return schema.enum.find((candidate) => candidate !== value);
  if (typeof value === "boolean") return !value;
  if (schema.type === "integer") return Number(value) === schema.maximum ? Number(value) - 1 : Number(value) + 1;
  if (typeof value === "number") return value === 0 ? 0.5 : value / 2;
  if (typeof value !== "string") return undefined;
  if (value.startsWith("sha256:")) return `${value.slice(0, -1)}${value.endsWith("0") ? "1" : "0"}`;
  const number = /^(\d+)(.*)$/.exec(value);
  return number === null ? `${value}x` : `${Number(number[1]) + 1}${number[2] ?? ""}`;
}
