/** How the operator is started. */
import { parseArgs } from "node:util";
import { DEFAULT_REQUESTS, type OperatorConfig } from "./config.ts";
import type { LogLevel } from "./kernel/logger.ts";

export interface Flags {
  readonly config: OperatorConfig;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly leaderElect: boolean;
  readonly leaseNamespace: string | undefined;
  readonly healthPort: number;
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly logLevel: LogLevel;
}

export class FlagError extends Error {
  override readonly name = "FlagError";
  readonly code = "FlagInvalid";
}

export const USAGE = `Usage: node operator/main.ts --runtime-image IMAGE [options]

  --runtime-image IMAGE      image of the pods that train, optimize and serve (MODELWRIGHT_RUNTIME_IMAGE)
  --namespace NAME           watch this namespace only; may be repeated (MODELWRIGHT_NAMESPACES, comma-separated)
  --request NAME=AMOUNT      request of pods that do not say one, such as cpu=100m; may be repeated
  --leader-elect             let one of several operators work (MODELWRIGHT_LEADER_ELECT=true)
  --lease-namespace NAME     where the lease is; default: the operator's own namespace
  --health-port PORT         /livez, /readyz and /metrics; default 8081
  --kubeconfig FILE          default: KUBECONFIG, the pod's service account, ~/.kube/config
  --context NAME             context of the kubeconfig
  --log-level LEVEL          error, warn, info or debug; default info
`;

const LEVELS: readonly string[] = ["error", "warn", "info", "debug"];

/** Throws FlagError with what is wrong and how to put it right. */
export function readFlags(args: readonly string[], environment: Readonly<Record<string, string | undefined>>): Flags {
  const values = parse(args);
  const runtimeImage = values["runtime-image"] ?? environment["MODELWRIGHT_RUNTIME_IMAGE"] ?? "";
  if (runtimeImage === "") throw new FlagError("--runtime-image is missing; name the image of the runtime");
  const fromEnvironment = (environment["MODELWRIGHT_NAMESPACES"] ?? "").split(",").filter((name) => name !== "");
  const logLevel = values["log-level"] ?? "info";
  if (!LEVELS.includes(logLevel)) {
    throw new FlagError(`--log-level ${logLevel} is none of ${LEVELS.join(", ")}; choose one of them`);
  }
  return {
    config: { runtimeImage, requests: requests(values.request) },
    namespaces: values.namespace ?? fromEnvironment,
    leaderElect: values["leader-elect"] ?? environment["MODELWRIGHT_LEADER_ELECT"] === "true",
    leaseNamespace: values["lease-namespace"],
    healthPort: port(values["health-port"] ?? "8081"),
    kubeconfig: values.kubeconfig,
    context: values.context,
    // Checked above.
    logLevel: logLevel as LogLevel,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        "runtime-image": { type: "string" },
        namespace: { type: "string", multiple: true },
        request: { type: "string", multiple: true },
        "leader-elect": { type: "boolean" },
        "lease-namespace": { type: "string" },
        "health-port": { type: "string" },
        kubeconfig: { type: "string" },
        context: { type: "string" },
        "log-level": { type: "string" },
      },
    }).values;
  } catch (cause) {
    const error = new FlagError(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`);
    error.cause = cause;
    throw error;
  }
}

function port(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 65535) {
    throw new FlagError(`--health-port ${text} is no port; give a number from 0 (any free port) to 65535`);
  }
  return number;
}

function requests(given: readonly string[] | undefined): Record<string, string> {
  if (given === undefined) return { ...DEFAULT_REQUESTS };
  return Object.fromEntries(
    given.map((text) => {
      const [name = "", amount = ""] = text.split("=");
      if (name === "" || amount === "") {
        throw new FlagError(`--request ${text} is not of the form NAME=AMOUNT, such as cpu=100m`);
      }
      return [name, amount];
    }),
  );
}
