/** What TensorFlow has for every operation of the graph. */
import type { OperationName } from "../operations.ts";
import { answeringOperations } from "./answering-operations.ts";
import { trainingOperations } from "./training-operations.ts";
import type { Writers } from "./writing.ts";

export const operations: Writers<Exclude<OperationName, "input" | "weight" | "adam">> = {
  ...answeringOperations,
  ...trainingOperations,
};
