import { Failure } from "../failure.ts";

/** Data that cannot be read as declared. `where`: such as `line 3`. The message names places, never values. */
export function rejected(source: string, where: string, message: string, cause?: unknown): Failure {
  return new Failure("DataRejected", `${source}${where === "" ? "" : ` ${where}`}: ${message}`, { cause });
}
