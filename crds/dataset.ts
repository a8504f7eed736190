/** Data declarations: where labelled examples are and how to read them. */
import { z } from "zod";
import { Uri } from "./common.ts";
import { withRule } from "./schema.ts";

const sourceShape = {
  format: z.enum(["Csv", "Idx"]).meta({
    description: "Csv: a header line and one example a line. Idx: two files in the format of MNIST",
  }),
  uri: Uri.optional().meta({ description: "Csv: the file" }),
  label: z.string().min(1).max(256).optional().meta({ description: "Csv: name of the column with the label" }),
  columns: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(4096)
    .optional()
    .meta({ description: "Csv: names of the feature columns, in order; default: all but the label" }),
  features: Uri.optional().meta({ description: "Idx: the file with the examples" }),
  labels: Uri.optional().meta({ description: "Idx: the file with the labels" }),
};

interface Source {
  format?: "Csv" | "Idx" | undefined;
  uri?: string | undefined;
  label?: string | undefined;
  columns?: string[] | undefined;
  features?: string | undefined;
  labels?: string | undefined;
}

const csvRule = {
  rule: "self.format != 'Csv' || (has(self.uri) && has(self.label) && !has(self.features) && !has(self.labels))",
  message: "format Csv needs uri and label, and has neither features nor labels",
  holds: (s: Source) =>
    s.format !== "Csv" ||
    (s.uri !== undefined && s.label !== undefined && s.features === undefined && s.labels === undefined),
};
const idxRule = {
  rule: "self.format != 'Idx' || (has(self.features) && has(self.labels) && !has(self.uri) && !has(self.label) && !has(self.columns))",
  message: "format Idx needs features and labels, and has none of uri, label and columns",
  holds: (s: Source) =>
    s.format !== "Idx" ||
    (s.features !== undefined &&
      s.labels !== undefined &&
      s.uri === undefined &&
      s.label === undefined &&
      s.columns === undefined),
};

const description = (what: string) => ({ description: what });

export const DataSource = withRule(
  withRule(z.strictObject(sourceShape).meta(description("Labelled examples")), csvRule),
  idxRule,
);

const optionalFormat = { ...sourceShape, format: sourceShape.format.optional() };
const guarded = (rule: typeof csvRule) => ({ ...rule, rule: `!has(self.format) || (${rule.rule})` });

/** Either a share of the training data, or data of its own. */
export const Validation = withRule(
  withRule(
    withRule(
      z
        .strictObject({
          split: z
            .number()
            .gt(0)
            .lt(1)
            .optional()
            .meta({ description: "Share of the training data to hold out, drawn by the seed" }),
          ...optionalFormat,
        })
        .meta(description("Data that training is watched with: split, or a source of its own")),
      guarded(csvRule),
    ),
    guarded(idxRule),
  ),
  {
    rule: "has(self.split) != has(self.format) && (has(self.format) || (!has(self.uri) && !has(self.label) && !has(self.columns) && !has(self.features) && !has(self.labels)))",
    message: "set either split, or format with its source",
    holds: (v) =>
      (v.split === undefined) !== (v.format === undefined) &&
      (v.format !== undefined ||
        [v.uri, v.label, v.columns, v.features, v.labels].every((field) => field === undefined)),
  },
);

export type DataSource = z.output<typeof DataSource>;
export type Validation = z.output<typeof Validation>;
