/** Generates the reference page of a kind from its schema: every field with type, bounds, default and meaning. */
import { API_VERSION } from "./common.ts";
import { crdObject, type JsonSchema } from "./crd.ts";
import type { Crd } from "./kind.ts";

interface Row {
  field: string;
  type: string;
  required: boolean;
  fallback: string;
  description: string;
}

function typeOf(schema: JsonSchema): string {
  if (schema["x-kubernetes-int-or-string"] === true) return "quantity";
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.type === "array" && schema.items !== undefined) return `list of ${typeOf(schema.items)}`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return `map of ${typeOf(schema.additionalProperties)}`;
  }
  return `${schema.type ?? "any"}${bounds(schema)}`;
}

function bounds(schema: JsonSchema): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  const low = minimum === undefined ? undefined : `${exclusiveMinimum === true ? ">" : "≥"} ${minimum}`;
  const high =
    maximum === undefined || maximum === Number.MAX_SAFE_INTEGER
      ? undefined
      : `${exclusiveMaximum === true ? "<" : "≤"} ${maximum}`;
  const both = [low, high].filter((text) => text !== undefined);
  return both.length === 0 ? "" : ` (${both.join(", ")})`;
}

function rows(schema: JsonSchema, path: string): Row[] {
  const required = (schema.required as string[] | undefined) ?? [];
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const field = `${path}.${name}`;
    const own: Row = {
      field,
      type: typeOf(child),
      required: required.includes(name),
      fallback: child.default === undefined ? "" : `\`${JSON.stringify(child.default)}\``,
      description: child.description ?? "",
    };
    const below =
      child.type === "array" && child.items !== undefined ? rows(child.items, `${field}[]`) : rows(child, field);
    return [own, ...below];
  });
}

function rules(schema: JsonSchema, path: string): string[] {
  const own = ((schema["x-kubernetes-validations"] as { message: string }[] | undefined) ?? []).map(
    ({ message }) => `- \`${path}\`: ${message}`,
  );
  const children = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => rules(child, `${path}.${name}`));
  const items = schema.items === undefined ? [] : rules(schema.items, `${path}[]`);
  return [...own, ...children, ...items];
}

function table(all: readonly Row[], withDefaults: boolean): string {
  const head = withDefaults
    ? ["| field | type | default | meaning |", "|---|---|---|---|"]
    : ["| field | type | meaning |", "|---|---|---|"];
  const lines = all.map(({ field, type, required, fallback, description }) => {
    const cells = withDefaults
      ? [`\`${field}\``, type, required ? "**required**" : fallback, description]
      : [`\`${field}\``, type, description];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return [...head, ...lines].join("\n");
}

/** The Markdown page of `kind`. */
export function referencePage(kind: Crd): string {
  const [version] = crdObject(kind).spec.versions;
  const { spec, status } = version?.schema.openAPIV3Schema.properties ?? {};
  const columns = kind.columns.map(
    ({ name, jsonPath, priority, description }) =>
      `| ${name.toUpperCase()}${priority === undefined ? "" : " (wide)"} | \`${jsonPath}\` | ${description ?? ""} |`,
  );
  return `<!-- Generated from crds/ by \`npm run crds\`. Do not edit. -->
# ${kind.kind}: every field

${kind.description} \`${API_VERSION}\`, short name \`${kind.shortNames.join("`, `")}\`.

## spec

${table(rows(spec as JsonSchema, "spec"), true)}

Rules that admission checks:

${rules(spec as JsonSchema, "spec").join("\n")}

## status

${table(rows(status as JsonSchema, "status"), false)}

## Columns of \`kubectl get ${kind.plural}\`

| column | path | |
|---|---|---|
${columns.join("\n")}
`;
}
