/** Writes the chart's templates that follow from our sources: `node images/chart.ts`. With --check it only compares. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { activatorRules, leaseRules, type Rule, rules } from "../operator/rbac.ts";

const notice = "{{- /* Written by `node images/chart.ts`. Do not edit. */ -}}\n";

/** A CustomResourceDefinition as a template: installed and upgraded with the release, and kept when it goes. */
export function crdTemplate(yaml: string): string {
  const [head = "", spec = ""] = yaml.replace(/^#.*\n/, "").split(/^(?=spec:)/m);
  const metadata = [
    "  labels:",
    '    {{- include "modelwright.labels" . | nindent 4 }}',
    "  {{- if .Values.crds.keep }}",
    "  annotations:",
    "    helm.sh/resource-policy: keep",
    "  {{- end }}",
  ];
  const literal = spec.replaceAll("{{", '{{ "{{" }}');
  return `${notice}{{- if .Values.crds.enabled }}\n${head}${metadata.join("\n")}\n${literal.trimEnd()}\n{{- end }}\n`;
}

/** Rules as a named template, for a Role or a ClusterRole. */
export function rulesTemplate(name: string, rules: readonly Rule[]): string {
  const lines = rules.flatMap(({ apiGroups, resources, verbs }) => [
    `- apiGroups: [${apiGroups.map((group) => (group === "" ? '""' : group)).join(", ")}]`,
    `  resources: [${resources.join(", ")}]`,
    `  verbs: [${verbs.join(", ")}]`,
  ]);
  return `{{- define "${name}" -}}\n${lines.join("\n")}\n{{- end }}\n`;
}

/** The templates by file name, as they must be. */
export async function generatedTemplates(root: string): Promise<Record<string, string>> {
  const templates: Record<string, string> = {
    "_rules.tpl": `${notice}${rulesTemplate("modelwright.rules", rules)}${rulesTemplate("modelwright.leaseRules", leaseRules)}${rulesTemplate("modelwright.activatorRules", activatorRules)}`,
  };
  for (const file of await readdir(join(root, "crds")))
    if (file.endsWith(".yaml"))
      templates[`crd-${file}`] = crdTemplate(await readFile(join(root, "crds", file), "utf8"));
  return templates;
}

async function main(): Promise<void> {
  const root = join(import.meta.dirname, "..");
  for (const [name, text] of Object.entries(await generatedTemplates(root))) {
    const file = join("charts/modelwright/templates", name);
    if (text === (await readFile(join(root, file), "utf8").catch(() => ""))) continue;
    if (process.argv.includes("--check")) {
      console.error(`${file} is not what crds/ and operator/rbac.ts say; run: node images/chart.ts`);
      process.exitCode = 1;
    } else {
      await writeFile(join(root, file), text);
      console.log(`wrote ${file}`);
    }
  }
}

if (import.meta.main) await main();
