import { join } from "node:path";
import { command } from "./command.ts";
import type { Target } from "./kubectl.ts";

const CHART = join(import.meta.dirname, "..", "..", "charts", "modelwright");
export const systemNamespace = "modelwright-system";

/** References of the two images, with tag. */
export type Images = { operator: string; runtime: string };

function values(key: string, reference: string): string[] {
  const colon = reference.lastIndexOf(":");
  return ["--set-string", `${key}.repository=${reference.slice(0, colon)},${key}.tag=${reference.slice(colon + 1)}`];
}

/** Installs or upgrades Modelwright by its chart, as the README says, and waits until it runs. */
export async function installPlatform({ helm, env, context }: Target, images: Images): Promise<void> {
  const args = ["upgrade", "--install", "modelwright", CHART, "-n", systemNamespace, "--create-namespace"];
  args.push(
    "--wait",
    "--timeout",
    "3m",
    ...values("image", images.operator),
    ...values("runtimeImage", images.runtime),
  );
  if (context !== undefined) args.push("--kube-context", context);
  await command(helm, args, { env });
}
