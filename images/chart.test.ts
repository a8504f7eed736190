import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { leaseRules, rules } from "../operator/rbac.ts";
import { crdTemplate, generatedTemplates, rulesTemplate } from "./chart.ts";

const root = join(import.meta.dirname, "..");
const chart = join(root, "charts/modelwright");

describe("the chart's generated templates", () => {
  it("are what the API and the operator's rules say now (else run: node images/chart.ts)", async () => {
    for (const [name, text] of Object.entries(await generatedTemplates(root)))
      expect(await readFile(join(chart, "templates", name), "utf8")).toBe(text);
  });

  it("grant nothing on Secrets but to create them, nothing by wildcard, and no way to more rights", () => {
    for (const { resources, verbs } of [...rules, ...leaseRules]) {
      if (resources.includes("secrets")) expect(verbs).toEqual(["create"]);
      expect([...resources, ...verbs]).not.toContain("*");
      for (const verb of ["escalate", "bind", "impersonate"]) expect(verbs).not.toContain(verb);
      const changes = verbs.some((verb) => !["get", "list", "watch"].includes(verb));
      for (const resource of ["pods/exec", "nodes", "clusterroles", "clusterrolebindings"])
        expect(changes && resources.includes(resource)).toBe(false);
    }
  });

  it("keep what looks like a template in a CRD as it is", () => {
    expect(crdTemplate("# generated\nmetadata:\n  name: x\nspec:\n  pattern: '{{a'\n")).toContain(
      `pattern: '{{ "{{" }}a'`,
    );
  });

  it("write the core group so that YAML reads it as text", () => {
    expect(rulesTemplate("x", [{ apiGroups: [""], resources: ["pods"], verbs: ["get"] }])).toContain(
      '- apiGroups: [""]\n  resources: [pods]\n  verbs: [get]',
    );
  });
});

describe("the chart", () => {
  it("has every value explained in docs/install.md, and no other", async () => {
    const page = await readFile(join(root, "docs/install.md"), "utf8");
    const explained = page
      .split("\n")
      .filter((line) => line.startsWith("| `"))
      .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name))
      .flatMap(alternatives)
      .filter((name) => !/^[A-Z]+$/.test(name));
    const values: unknown = parse(await readFile(join(chart, "values.yaml"), "utf8"));
    const paths = pathsOf(values);
    expect(explained.filter((name) => !paths.includes(name))).toEqual([]);
    const isExplained = (path: string) => explained.some((name) => path === name || path.startsWith(`${name}.`));
    expect(
      paths.filter((path) => !isExplained(path) && !explained.some((name) => name.startsWith(`${path}.`))),
    ).toEqual([]);
  });

  it("has the version of the program", async () => {
    const { version, appVersion } = parse(await readFile(join(chart, "Chart.yaml"), "utf8")) as Record<string, string>;
    const program = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
    expect({ version, appVersion }).toEqual({ version: program.version, appVersion: program.version });
  });
});

/** `a.{b,c}` as `a.b` and `a.c`. */
function alternatives(name: string): string[] {
  const [, before = "", choices] = /^(.*)\{(.+)\}$/.exec(name) ?? [];
  return choices === undefined ? [name] : choices.split(",").map((choice) => before + choice);
}

/** Paths of all values, of groups of them too. */
function pathsOf(value: unknown, path = ""): string[] {
  const own = path === "" ? [] : [path];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return own;
  return [
    ...own,
    ...Object.entries(value).flatMap(([name, part]) => pathsOf(part, path === "" ? name : `${path}.${name}`)),
  ];
}
