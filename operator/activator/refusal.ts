/** What clients are told that no pod has answered. */
import type { Refusal } from "./holds.ts";

/** For Retry-After. */
export const RETRY_SECONDS = 5;

export function refusalText(refusal: Refusal): string {
  switch (refusal) {
    case "Full":
      return "too many requests wait for the model to start; try again later";
    case "TimedOut":
      return "the model has not started in time; try again later";
    case "Stopping":
      return "this server stops; try again";
  }
}
