/** A model card for people: Markdown with the metadata block that model hubs read. */
import { stringify } from "yaml";
import type { Facts } from "./facts.ts";

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);

function tensors(kind: string, all: Facts["signature"]["inputs"]): string[][] {
  return all.map(({ name, datatype, shape }) => [
    kind,
    `\`${name}\``,
    datatype,
    `[${shape.map((size) => (size === -1 ? "batch" : size)).join(", ")}]`,
  ]);
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`## ${title}`, "", ...lines, ""];
}

export function modelCard(facts: Facts): string {
  const { name, format, parameters, signature, training, evaluation, lineage, licence, privacy, energy, createdAt } =
    facts;
  const metadata = {
    ...(licence === undefined ? {} : { license: licence.toLowerCase() }),
    library_name: "modelwright",
    tags: [format],
  };
  const { job, parents, dataset, software } = lineage;
  const lines = [
    "---",
    stringify(metadata).trimEnd(),
    "---",
    "",
    `# ${name}`,
    "",
    `Made by ${job.kind} ${job.namespace}/${job.name}, run ${lineage.run}, at ${createdAt}. ${parameters} parameters, format ${format}.`,
    licence === undefined ? "No licence was declared." : `Licence: ${licence}.`,
    "",
    ...section(
      "What it takes and gives",
      table(
        ["", "name", "type", "shape"],
        [...tensors("input", signature.inputs), ...tensors("output", signature.outputs)],
      ),
    ),
    ...section(
      "How well it does",
      evaluation === undefined
        ? ["It was not evaluated on held-out data."]
        : table(
            ["on held-out data", "value"],
            Object.entries(evaluation).map(([metric, value]) => [metric, String(value)]),
          ),
    ),
    ...section("How it was made", [
      ...(training === undefined ? [] : [`- loss: ${training.loss}`]),
      ...(dataset === undefined ? [] : [`- training data: ${dataset}`]),
      ...parents.map((parent) => `- made from: ${parent}`),
      ...Object.entries(software).map(([program, version]) => `- ${program}: ${version}`),
    ]),
    ...section(
      "Privacy",
      privacy === undefined
        ? []
        : [
            `Differentially private towards each training example: epsilon ${privacy.epsilon} at delta ${privacy.delta}.`,
          ],
    ),
    ...section(
      "Energy",
      energy === undefined
        ? []
        : [
            `${energy.kWh} kWh, ${energy.gCO2e} g CO2e (${energy.source}, ${energy.gramsPerKWh} g/kWh, PUE ${energy.pue}).`,
          ],
    ),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}
