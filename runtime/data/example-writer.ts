/** Gathers examples as a format's reader finds them: in memory, and in a scratch file once they are too many for it. */
import { totalmem } from "node:os";
import { Failure, systemCode } from "../failure.ts";
import { type Dataset, type Examples, sizeOf } from "./dataset.ts";
import { NumberList } from "./number-list.ts";
import { RowFileWriter } from "./row-file.ts";

/** Share of the memory that this process may use which features may take; the engine may hold a copy besides. */
const SHARE = 0.25;

/** Bytes of features that are kept in memory. */
export function memoryForFeatures(): number {
  const constrained = process.constrainedMemory();
  return SHARE * (constrained > 0 ? Math.min(constrained, totalmem()) : totalmem());
}

/** What is known of the examples at the end. */
interface Form {
  source: string;
  exampleShape: number[];
  /** Default: one number. */
  labelShape?: number[] | undefined;
}

export class ExampleWriter {
  readonly #limit: number;
  readonly #features = new NumberList();
  #file: RowFileWriter | undefined;
  readonly #labels = new NumberList();
  readonly #weights = new NumberList();

  /** `limit`: bytes of features in memory. */
  constructor(limit = memoryForFeatures()) {
    this.#limit = limit;
  }

  /** Throws Failure OutputNotWritable when there is no space. */
  features(values: ArrayLike<number>): void {
    if (this.#file === undefined && this.#features.bytes + 4 * values.length <= this.#limit) {
      this.#features.push(values);
      return;
    }
    const rows = Float32Array.from(values);
    scratch(() => {
      if (this.#file === undefined) {
        this.#file = new RowFileWriter();
        this.#file.push(this.#features.finish());
      }
      this.#file.push(rows);
    });
  }

  labels(values: ArrayLike<number>): void {
    this.#labels.push(values);
  }

  /** What examples count for in the loss; for all of them, or for none. */
  weights(values: ArrayLike<number>): void {
    this.#weights.push(values);
  }

  /** Throws Failure DataRejected when there are none. */
  finish({ source, exampleShape, labelShape = [] }: Form): Examples {
    const labels = this.#labels.finish();
    const count = labels.length / sizeOf(labelShape);
    if (count === 0) throw new Failure("DataRejected", `${source} has no examples; add some`);
    const weights = this.#weights.finish();
    const file = this.#file;
    return {
      features: file === undefined ? this.#features.finish() : scratch(() => file.finish(sizeOf(exampleShape))),
      labels,
      exampleShape,
      ...(labelShape.length === 0 ? {} : { labelShape }),
      ...(weights.length === 0 ? {} : { weights }),
      count,
      source,
    };
  }
}

function scratch<T>(write: () => T): T {
  try {
    return write();
  } catch (cause) {
    throw new Failure(
      "OutputNotWritable",
      `The examples are larger than memory and cannot be kept in ${systemCode(cause) === "ENOSPC" ? "scratch space, which is full" : "scratch space"}; give the pod more ephemeral storage, or more memory`,
      { cause },
    );
  }
}

/** Are all features in memory? */
export function isInMemory(examples: Examples): examples is Dataset {
  return examples.features instanceof Float32Array;
}
