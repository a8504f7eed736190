/** How the activator is started. */
import { parseArgs } from "node:util";
import type { LogLevel } from "../kernel/logger.ts";

export class ActivatorFlagError extends Error {
  override readonly name = "ActivatorFlagError";
  readonly code = "FlagInvalid";
}

const USAGE = `Usage: node operator/activator/main.ts [options]

  --namespace NAME         of the models; may be repeated; default: all
  --health-port PORT       /livez, /readyz, /metrics and /load; default 8081
  --hold-seconds N         how long a request waits for a pod; default 60
  --most-per-model N       requests of one ModelDeployment that wait; default 1024
  --most N                 requests that wait altogether; default 4096
  --most-per-pod N         requests that one pod gets at a time; default 64
  --kubeconfig FILE        default: KUBECONFIG, the pod's service account, ~/.kube/config
  --ca-file FILE           PEM file with more authorities that may have signed the API server's certificate
  --log-level LEVEL        error, warn, info or debug; default info
`;

export interface ActivatorFlags {
  readonly namespaces: readonly string[];
  readonly healthPort: number;
  readonly holdMilliseconds: number;
  readonly mostPerPort: number;
  readonly most: number;
  readonly mostPerPod: number;
  readonly kubeconfig: string | undefined;
  readonly caFile: string | undefined;
  readonly logLevel: LogLevel;
}

const LEVELS: readonly string[] = ["error", "warn", "info", "debug"];

/** Throws ActivatorFlagError with what is wrong and how to put it right. */
export function readActivatorFlags(args: readonly string[]): ActivatorFlags {
  const values = parse(args);
  const logLevel = values["log-level"];
  if (!LEVELS.includes(logLevel)) {
    throw new ActivatorFlagError(`--log-level ${logLevel} is none of ${LEVELS.join(", ")}; choose one of them`);
  }
  return {
    namespaces: values.namespace ?? [],
    healthPort: whole("health-port", values["health-port"], 0, 65_535),
    holdMilliseconds: 1000 * whole("hold-seconds", values["hold-seconds"], 1, 3600),
    mostPerPort: whole("most-per-model", values["most-per-model"], 1, 100_000),
    most: whole("most", values.most, 1, 100_000),
    mostPerPod: whole("most-per-pod", values["most-per-pod"], 1, 10_000),
    kubeconfig: values.kubeconfig,
    caFile: values["ca-file"],
    // Checked above.
    logLevel: logLevel as LogLevel,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        namespace: { type: "string", multiple: true },
        "health-port": { type: "string", default: "8081" },
        "hold-seconds": { type: "string", default: "60" },
        "most-per-model": { type: "string", default: "1024" },
        most: { type: "string", default: "4096" },
        "most-per-pod": { type: "string", default: "64" },
        kubeconfig: { type: "string" },
        "ca-file": { type: "string" },
        "log-level": { type: "string", default: "info" },
      },
    }).values;
  } catch (cause) {
    const error = new ActivatorFlagError(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`);
    error.cause = cause;
    throw error;
  }
}

function whole(flag: string, text: string, least: number, most: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least && number <= most) return number;
  throw new ActivatorFlagError(`--${flag} ${text} is not a whole number from ${least} to ${most}`);
}
