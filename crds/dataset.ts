/** Data declarations: where labelled examples are and how to read them. */
import { z } from "zod";
import { accessRules, accessShape, Uri } from "./location.ts";
import { withRules } from "./schema.ts";

const Column = z.string().min(1).max(256);

export const DataFormat = z.enum(["Csv", "Jsonl", "Idx", "Npy", "Npz", "TfRecord", "ImageFolder"]).meta({
  description:
    "Csv: a header line and one example a line. Jsonl: a JSON object a line. Idx: files in the format of MNIST. Npy: arrays of NumPy. Npz: an archive of such. TfRecord: tf.train.Example messages. ImageFolder: a folder of PNG or JPEG files for each class",
});

const sourceShape = {
  format: DataFormat,
  uri: Uri.optional().meta({
    description: "Csv, Jsonl, TfRecord: the file, or a folder of such files. Npz: the file. ImageFolder: the folder",
  }),
  label: Column.optional().meta({
    description:
      "Csv, Jsonl, TfRecord: name of the column with the label. Npz: name of the array; default y_train or y",
  }),
  columns: z.array(Column).min(1).max(4096).optional().meta({
    description:
      "Csv, Jsonl, TfRecord: names of the feature columns, in order; default: all but label and weight. Npz: the name of the array of features; default x_train or x",
  }),
  weight: Column.optional().meta({
    description:
      "Csv, Jsonl, TfRecord: name of the column with the weight of each example in the loss. Npz: name of the array",
  }),
  features: Uri.optional().meta({ description: "Idx, Npy: the file with the examples" }),
  labels: Uri.optional().meta({ description: "Idx, Npy: the file with the labels" }),
  weights: Uri.optional().meta({ description: "Idx, Npy: the file with the weight of each example in the loss" }),
  image: z
    .strictObject({
      width: z.int().min(1).max(4096).meta({ description: "Width that images are resized to" }),
      height: z.int().min(1).max(4096).meta({ description: "Height that images are resized to" }),
      channels: z
        .union([z.literal(1), z.literal(3)])
        .default(3)
        .meta({
          type: "integer",
          description: "1: grey, 3: red, green and blue",
        }),
    })
    .optional()
    .meta({ description: "ImageFolder: the size of all images" }),
  ...accessShape,
};

const Source = z.strictObject(sourceShape);

type Source = Omit<z.output<typeof Source>, "format"> & { format?: z.output<typeof DataFormat> | undefined };
type Field = Exclude<keyof typeof sourceShape, "format" | keyof typeof accessShape>;

/** What each format needs and may have besides; all other fields are refused. */
const FIELDS: Record<z.output<typeof DataFormat>, { needs: Field[]; may: Field[] }> = {
  Csv: { needs: ["uri", "label"], may: ["columns", "weight"] },
  Jsonl: { needs: ["uri", "label"], may: ["columns", "weight"] },
  TfRecord: { needs: ["uri", "label"], may: ["columns", "weight"] },
  Idx: { needs: ["features", "labels"], may: ["weights"] },
  Npy: { needs: ["features", "labels"], may: ["weights"] },
  Npz: { needs: ["uri"], may: ["label", "columns", "weight"] },
  ImageFolder: { needs: ["uri", "image"], may: [] },
};

const ALL: Field[] = ["uri", "label", "columns", "weight", "features", "labels", "weights", "image"];

const list = (fields: readonly string[]) => fields.join(", ").replace(/, ([^,]+)$/, " and $1");

const formatRules = Object.entries(FIELDS).map(([format, { needs, may }]) => {
  const refused = ALL.filter((field) => !needs.includes(field) && !may.includes(field));
  const parts = [...needs.map((field) => `has(self.${field})`), ...refused.map((field) => `!has(self.${field})`)];
  return {
    rule: `!has(self.format) || self.format != '${format}' || (${parts.join(" && ")})`,
    message: `format ${format} needs ${list(needs)}, and has none of ${list(refused)}`,
    holds: (source: Source) =>
      source.format !== format ||
      (needs.every((field) => source[field] !== undefined) && refused.every((field) => source[field] === undefined)),
  };
});

const sourceRules = [...formatRules, ...accessRules(["uri", "features", "labels", "weights"])];

export const DataSource = withRules(Source.meta({ description: "Labelled examples" }), sourceRules);

const without = `(${ALL.map((field) => `!has(self.${field})`).join(" && ")})`;

/** Either a share of the training data, or data of its own. */
export const Validation = withRules(
  z
    .strictObject({
      split: z
        .number()
        .gt(0)
        .lt(1)
        .optional()
        .meta({ description: "Share of the training data to hold out, drawn by the seed" }),
      ...sourceShape,
      format: DataFormat.optional(),
    })
    .meta({ description: "Data that training is watched with: split, or a source of its own" }),
  [
    ...sourceRules,
    {
      rule: `has(self.split) != has(self.format) && (has(self.format) || ${without})`,
      message: "set either split, or format with its source",
      holds: (source) =>
        (source.split === undefined) !== (source.format === undefined) &&
        (source.format !== undefined || ALL.every((field) => source[field] === undefined)),
    },
  ],
);

export type DataSource = z.output<typeof DataSource>;
export type DataFormat = z.output<typeof DataFormat>;
export type Validation = z.output<typeof Validation>;
