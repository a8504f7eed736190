import { describe, expect, it } from "@jest/globals";
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { crdObject, crdYaml, type JsonSchema } from "./crd.ts";
import { KINDS } from "./kinds.ts";

const schemaOf = (kind: (typeof KINDS)[number]): JsonSchema => {
  const [version] = crdObject(kind).spec.versions;
  return version?.schema.openAPIV3Schema ?? {};
};

/** All nodes of a schema, with their paths. */
function nodes(schema: JsonSchema, path = ""): { path: string; schema: JsonSchema }[] {
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => nodes(child, `${path}.${name}`));
  const items = schema.items === undefined ? [] : nodes(schema.items, `${path}[]`);
  const values = typeof schema.additionalProperties === "object" ? nodes(schema.additionalProperties, `${path}.*`) : [];
  return [{ path, schema }, ...below, ...items, ...values];
}

/** The node at a printer column's path; a filter in brackets selects an item. */
function at(schema: JsonSchema, jsonPath: string): JsonSchema | undefined {
  const steps = jsonPath
    .replaceAll(/\[\?\([^)]*\)\]/g, ".[]")
    .split(".")
    .filter((step) => step !== "");
  return steps.reduce<JsonSchema | undefined>((node, step) => {
    if (step === "[]") return node?.items;
    return (
      node?.properties?.[step] ??
      (typeof node?.additionalProperties === "object" ? node.additionalProperties : undefined)
    );
  }, schema);
}

describe.each([...KINDS])("the CustomResourceDefinition of $kind", (kind) => {
  it("is the file that is checked in", async () => {
    const file = await readFile(new URL(`./${kind.plural}.yaml`, import.meta.url), "utf8");
    // Otherwise: npm run crds.
    expect(file).toBe(crdYaml(kind));
  });

  it("has printer columns that point at fields of their type", () => {
    const columns = kind.columns.filter(({ jsonPath }) => !jsonPath.startsWith(".metadata."));
    const types = columns.map(({ name, jsonPath }) => ({ name, type: at(schemaOf(kind), jsonPath)?.type }));
    expect(types).toEqual(columns.map(({ name, type }) => ({ name, type })));
  });

  it("has a scale subresource that points at fields, where it has one", () => {
    const paths = Object.values(kind.scale ?? {});
    expect(paths.filter((path) => at(schemaOf(kind), path) === undefined)).toEqual([]);
  });

  it("has a type and no forbidden keyword in every node", () => {
    const forbidden = [
      "$ref",
      "allOf",
      "oneOf",
      "not",
      "patternProperties",
      "definitions",
      "uniqueItems",
      "id",
      "$schema",
    ];
    const wrong = nodes(schemaOf(kind)).filter(
      ({ schema }) =>
        forbidden.some((key) => key in schema) ||
        schema.additionalProperties === false ||
        // Kubernetes lets these two go without a type: they take several.
        (schema.type === undefined &&
          schema["x-kubernetes-int-or-string"] !== true &&
          schema["x-kubernetes-preserve-unknown-fields"] !== true),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  it("bounds every list and map of the spec", () => {
    const spec = at(schemaOf(kind), ".spec") ?? {};
    const open = nodes(spec).filter(
      ({ schema }) =>
        (schema.items !== undefined && schema["maxItems"] === undefined) ||
        (typeof schema.additionalProperties === "object" && schema["maxProperties"] === undefined),
    );
    expect(open.map(({ path }) => path)).toEqual([]);
  });

  it("names no other namespace, but for Gateways, which decide themselves whose routes they take", () => {
    const named = nodes(at(schemaOf(kind), ".spec") ?? {}).filter(({ path }) => /namespace/i.test(path));
    expect(named.map(({ path }) => path)).toEqual(
      kind.kind === "ModelDeployment" ? [expect.stringMatching(/^\.route\.parentRefs.*\.namespace$/)] : [],
    );
  });

  it("describes what every field of the spec's first levels is for", () => {
    const top = Object.entries(at(schemaOf(kind), ".spec")?.properties ?? {});
    expect(top.filter(([, schema]) => schema["description"] === undefined).map(([name]) => name)).toEqual([]);
  });
});

it.each(KINDS.map((kind) => ({ name: kind.kind, kind })))(
  "$name says the same to programs that read n, on and off as true and false, as kubectl and helm do",
  ({ kind }) => {
    const text = crdYaml(kind);
    expect(parse(text, { version: "1.1" })).toEqual(parse(text));
  },
);
