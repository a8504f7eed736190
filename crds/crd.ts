/** Generates a CustomResourceDefinition from a kind: a structural schema with CEL rules. */
import { stringify } from "yaml";
import { z } from "zod";
import { CATEGORY, GROUP, VERSION } from "./common.ts";
import type { Crd } from "./kind.ts";
import { NAME_RULE } from "./kinds.ts";

/** A node of a structural schema. */
export interface JsonSchema {
  [key: string]: unknown;
  type?: string;
  description?: string;
  minimum?: number;
  maximum?: number;
  enum?: string[];
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  additionalProperties?: JsonSchema | boolean;
}

const FORBIDDEN = ["$schema", "id", "propertyNames", "patternProperties", "$ref", "anyOf", "allOf", "oneOf"];

/** Strips what Kubernetes forbids in a structural schema and adds what it wants. */
export function structural(schema: JsonSchema): JsonSchema {
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  const opaque = schema["x-kubernetes-preserve-unknown-fields"] === true;
  const pattern = intOrString
    ? (schema.anyOf as JsonSchema[]).map((branch) => branch.pattern).find(Boolean)
    : undefined;
  const kept = Object.entries(schema).filter(([key, value]) => {
    if (FORBIDDEN.includes(key)) return false;
    if (key === "additionalProperties") return !opaque && typeof value === "object";
    return true;
  });
  const out: JsonSchema = Object.fromEntries(kept);
  if (pattern !== undefined) {
    out.anyOf = [{ type: "integer" }, { type: "string" }];
    out.pattern = pattern;
  }
  if (out.type === "integer") out.format = "int64";
  if (out.properties !== undefined) out.properties = mapValues(out.properties, structural);
  if (out.items !== undefined) out.items = structural(out.items);
  if (typeof out.additionalProperties === "object") out.additionalProperties = structural(out.additionalProperties);
  return out;
}

function mapValues<A, B>(record: Record<string, A>, map: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

function openApi(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  return structural(z.toJSONSchema(schema, { target: "openapi-3.0", io, reused: "inline" }) as JsonSchema);
}

/** The CustomResourceDefinition of `kind` as an object. */
export function crdObject(kind: Crd) {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${kind.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: "Namespaced",
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: kind.shortNames,
        categories: [CATEGORY],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {}, ...(kind.scale === undefined ? {} : { scale: kind.scale }) },
          additionalPrinterColumns: kind.columns,
          schema: {
            openAPIV3Schema: {
              type: "object",
              description: kind.description,
              required: ["spec"],
              "x-kubernetes-validations": [NAME_RULE],
              properties: {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object" },
                spec: openApi(kind.spec, "input"),
                status: { ...openApi(kind.status, "input"), default: { observedGeneration: -1 } },
              },
            },
          },
        },
      ],
    },
  };
}

export function crdYaml(kind: Crd): string {
  const head = `# Generated from crds/ by \`npm run crds\`. Do not edit.\n`;
  return head + stringify(crdObject(kind), { lineWidth: 0, aliasDuplicateObjects: false, compat: "yaml-1.1" });
}
