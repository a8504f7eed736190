/** What making a model took and gave away, as status and the artefact say it. */
import { z } from "zod";

export const Energy = z
  .strictObject({
    kWh: z.number().min(0).meta({ description: "Energy, that of the data centre's cooling included (pue)" }),
    gCO2e: z.number().min(0).meta({ description: "Greenhouse gas, grams of CO2 equivalent" }),
    source: z.enum(["GpuCounters", "CpuModel"]).meta({
      description:
        "GpuCounters: the GPUs' own power readings, and a model of the processors. CpuModel: a model of the processors alone",
    }),
    gramsPerKWh: z.number().min(0).meta({ description: "Intensity of the grid that was reckoned with" }),
    pue: z.number().min(1).meta({ description: "Energy of the data centre / energy of its computers" }),
  })
  .meta({ description: "Energy of the run, all its attempts together" });

export const Privacy = z
  .strictObject({
    epsilon: z.number().min(0).meta({ description: "Epsilon that is spent" }),
    delta: z.number().gt(0).lt(1).meta({ description: "Probability with which the guarantee may fail" }),
  })
  .meta({
    description:
      "(epsilon, delta)-differential privacy of the weights towards each single training example: Renyi accounting of Poisson sampling, converted as Canonne, Kamath and Steinke (2020) have it",
  });

export type Energy = z.output<typeof Energy>;
export type Privacy = z.output<typeof Privacy>;
