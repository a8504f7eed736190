/** Parts of layers' configurations. */
import { z } from "zod";
import { activationNames } from "./activation.ts";

export const Size = z.int().min(1).max(65_536);

/** One number for all, or one for each. */
export const sizes = (rank: number, size: z.ZodType<number> = Size) =>
  z.union([size.transform((one) => Array.from({ length: rank }, () => one)), z.array(size).length(rank)]);

/** Other orders of dimensions are for GPUs, and are rare. */
export const ChannelsLast = z.enum(["channelsLast"]).nullish();

export const Padding = z.enum(["valid", "same"]);

export const Activation = z
  .string()
  .refine((name) => activationNames.has(name), "is an activation that is not supported")
  .nullish()
  .transform((name) => name ?? "linear");
