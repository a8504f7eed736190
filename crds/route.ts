/** How a model is reached from outside the cluster, where the Gateway API is installed. */
import { z } from "zod";

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

const Subdomain = z
  .string()
  .min(1)
  .max(253)
  .regex(new RegExp(`^${LABEL}(\\.${LABEL})*$`));

const ParentReference = z
  .strictObject({
    name: Subdomain.meta({ description: "Name of the Gateway" }),
    namespace: z
      .string()
      .min(1)
      .max(63)
      .regex(new RegExp(`^${LABEL}$`))
      .optional()
      .meta({ description: "Namespace of the Gateway, whose allowedRoutes decide; default: this one" }),
    sectionName: Subdomain.optional().meta({ description: "One listener of it only" }),
    port: z.int().min(1).max(65_535).optional().meta({ description: "Its listeners on this port only" }),
  })
  .meta({ description: "A Gateway" });

export const Route = z
  .strictObject({
    parentRefs: z.array(ParentReference).min(1).max(16).meta({ description: "Gateways that lead to the model" }),
    hostnames: z
      .array(
        z
          .string()
          .min(1)
          .max(253)
          .regex(new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})*$`)),
      )
      .min(1)
      .max(16)
      .optional()
      .meta({ description: "Host names under which it answers; default: all of the listeners" }),
  })
  .meta({ description: "An HTTPRoute of the Gateway API that leads to the version that serves" });

export type Route = z.output<typeof Route>;
