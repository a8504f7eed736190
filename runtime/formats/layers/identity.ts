/** Layers that do nothing to what a model is asked. */
import { z } from "zod";
import { type Definition, only } from "./definition.ts";

export const identity: Definition<object> = {
  className: "Identity",
  settings: z.object({}),
  outputShape: only,
  compute: ({ inputs }) => only(inputs),
  passesMask: true,
};
