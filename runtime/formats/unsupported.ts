import { Failure } from "../failure.ts";

/** A model that cannot be loaded; `message` says why and what to do. */
export function unsupported(shownAs: string, message: string, cause?: unknown): Failure {
  return new Failure("ModelUnsupported", `${shownAs}: ${message}`, { cause });
}
