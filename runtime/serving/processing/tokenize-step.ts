/** Texts to ids: words, or their pieces by WordPiece (Schuster and Nakajima 2012; the longest piece first, as BERT has it). */
import type { InputStep } from "../../../crds/serving.ts";
import { Failure } from "../../failure.ts";
import { refuse } from "../request-error.ts";
import { type Datatype, type Signature, type Tensor, type TensorSpec, isNumeric } from "../tensor.ts";
import { cast } from "../wire.ts";
import { readLines } from "./model-lines.ts";
import { type ModelFolder, type TensorStep, misfit } from "./pipeline.ts";

type Settings = NonNullable<InputStep["tokenize"]>;

const TYPES: ReadonlySet<Datatype> = new Set(["INT32", "INT64", "FP32"]);

export async function tokenizeStep(
  settings: Settings,
  made: TensorSpec,
  { inputs }: Signature,
  folder: ModelFolder,
  field: string,
): Promise<TensorStep> {
  const { vocabulary, maxLength, lowerCase, maskInput } = settings;
  const tokenizer = new Tokenizer(await readLines(folder, vocabulary, `${field}.vocabulary`), lowerCase);
  const mask = inputs.find(({ name }) => name === maskInput);
  if (maskInput !== undefined && mask === undefined) {
    throw new Failure("InvalidSpec", `${field}.maskInput: the model has no input ${maskInput}`);
  }
  const check = (spec: TensorSpec) => {
    const [, length, ...more] = spec.shape;
    if (!TYPES.has(spec.datatype) || more.length > 0 || (length !== -1 && length !== maxLength)) {
      throw misfit(field, spec, `integers [-1,${maxLength}]`);
    }
  };
  if (mask !== undefined) check(mask);
  check(made);
  return {
    alsoMakes: maskInput,
    outer: { name: made.name, datatype: "BYTES", shape: [-1] },
    apply: ({ name, data }) => {
      const texts = isNumeric(data) ? [] : data;
      const rows = texts.map((bytes, index) => tokenizer.ids(textOf(bytes, name, index), maxLength));
      const ids = matrix(name, made.datatype, rows, maxLength, tokenizer.padding);
      if (mask === undefined) return [ids];
      const ones = rows.map((row) => row.map(() => 1));
      return [ids, matrix(mask.name, mask.datatype, ones, maxLength, 0)];
    },
  };
}

function textOf(bytes: Uint8Array, input: string, index: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    refuse(`input '${input}': element ${index} is no UTF-8 text`);
  }
}

function matrix(name: string, datatype: Datatype, rows: readonly number[][], width: number, padding: number): Tensor {
  const values = rows.flatMap((row) => [...row, ...Array.from({ length: width - row.length }, () => padding)]);
  return {
    name,
    datatype,
    shape: [rows.length, width],
    data: cast(values, "INT32", { input: name, wire: "INT32", datatype }),
  };
}

const LONGEST_WORD = 100;

export class Tokenizer {
  readonly padding: number;
  readonly #ids = new Map<string, number>();
  readonly #lowerCase: boolean;
  readonly #unknown: number;

  constructor(vocabulary: readonly string[], lowerCase: boolean) {
    for (const [id, token] of vocabulary.entries()) if (!this.#ids.has(token)) this.#ids.set(token, id);
    this.#lowerCase = lowerCase;
    this.padding = this.#ids.get("[PAD]") ?? 0;
    this.#unknown = this.#ids.get("[UNK]") ?? 0;
  }

  /** At most `maxLength` ids; between [CLS] and [SEP] where the vocabulary has these. */
  ids(text: string, maxLength: number): number[] {
    const [first, last] = [this.#ids.get("[CLS]"), this.#ids.get("[SEP]")];
    const edges = Number(first !== undefined) + Number(last !== undefined);
    const ids = this.#words(text).flatMap((word) => this.#pieces(word));
    const kept = ids.slice(0, Math.max(0, maxLength - edges));
    return [...(first === undefined ? [] : [first]), ...kept, ...(last === undefined ? [] : [last])].slice(
      0,
      maxLength,
    );
  }

  /** Punctuation and Chinese characters stand alone; accents go with upper case. */
  #words(text: string): string[] {
    const plain = this.#lowerCase
      ? text
          .toLowerCase()
          .normalize("NFD")
          .replace(/\p{Mn}/gu, "")
      : text;
    const spaced = plain.replace(/[\p{P}\p{S}\p{Script=Han}]/gu, " $& ").replace(/[\p{Cc}\p{Cf}\uFFFD]/gu, " ");
    return spaced.split(/\s+/u).filter((word) => word !== "");
  }

  #pieces(word: string): number[] {
    const letters = Array.from(word);
    if (letters.length > LONGEST_WORD) return [this.#unknown];
    const ids: number[] = [];
    let start = 0;
    while (start < letters.length) {
      let end = letters.length;
      let id: number | undefined;
      for (; end > start && id === undefined; end--) {
        id = this.#ids.get(`${start === 0 ? "" : "##"}${letters.slice(start, end).join("")}`);
      }
      if (id === undefined) return [this.#unknown];
      ids.push(id);
      start = end + 1;
    }
    return ids;
  }
}
