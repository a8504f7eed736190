/** How the operator is started. */
import { parseArgs } from "node:util";
import { energyModel } from "../crds/contract/energy-model.ts";
import { DEFAULT_REQUESTS, type OperatorConfig, type Proxy } from "./config.ts";
import type { PortRange } from "./model-deployment/scaling/ports.ts";
import type { LogLevel } from "./kernel/logger.ts";

export interface Flags {
  readonly config: OperatorConfig;
  /** Empty: all. */
  readonly namespaces: readonly string[];
  readonly leaderElect: boolean;
  readonly leaseNamespace: string | undefined;
  /** Name as which the lease is held; undefined: one that no other process has or will have. */
  readonly identity: string | undefined;
  readonly healthPort: number;
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** PEM file with authorities that the API server's certificate may be signed by, besides the connection's own. */
  readonly caFile: string | undefined;
  /** Undefined where no activator is installed. */
  readonly activator: ActivatorFlags | undefined;
  readonly logLevel: LogLevel;
}

export interface ActivatorFlags {
  /** In the operator's own namespace. */
  readonly service: string;
  readonly ports: PortRange;
  readonly healthPort: number;
}

export class FlagError extends Error {
  override readonly name = "FlagError";
  readonly code = "FlagInvalid";
}

export const USAGE = `Usage: node operator/main.ts --runtime-image IMAGE [options]

  --runtime-image IMAGE      image of the pods that train, optimize and serve (MODELWRIGHT_RUNTIME_IMAGE)
  --namespace NAME           watch this namespace only; may be repeated (MODELWRIGHT_NAMESPACES, comma-separated)
  --request NAME=AMOUNT      request of pods that do not say one, such as cpu=100m; may be repeated
  --node-selector KEY=VALUE  label of the nodes of pods that do not select by that key; may be repeated
  --architecture NAME        architecture of nodes that pods may run on, such as amd64; may be repeated; default: any
  --image-pull-secret NAME   Secret in the pod's namespace, for pods that do not name one; may be repeated
  --energy NAME=NUMBER       what jobs reckon energy with: gramsPerKWh, pue, idleWattsPerCpu, busyWattsPerCpu; may be repeated
  --allowed-host NAME        host that https:// URIs may name although its address is private; may be repeated
  --proxy URL                HTTP proxy through which pods reach stores, such as http://proxy.example.com:3128
  --proxy-exclude HOST       host that pods reach without it, or .example.com for all below; may be repeated
  --leader-elect             let one of several operators work (MODELWRIGHT_LEADER_ELECT=true)
  --identity NAME            as which the lease is held, such as a pod's name and uid: a process that was started again under
                             it goes on at once, so no two may run with the same; default: a new one for each process
  --lease-namespace NAME     where the lease is; default: the operator's own namespace
  --health-port PORT         /livez, /readyz and /metrics; default 8081
  --activator-service NAME   Service of the activators in the operator's own namespace; default: there are none
  --activator-ports RANGE    ports of the activators for models, such as 20000-21999 (the default)
  --activator-health PORT    where the activators say what they hold; default 8081
  --kubeconfig FILE          default: KUBECONFIG, the pod's service account, ~/.kube/config
  --context NAME             context of the kubeconfig
  --ca-file FILE             PEM file with more authorities that may have signed the API server's certificate
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
    config: {
      runtimeImage,
      requests:
        values.request === undefined
          ? { ...DEFAULT_REQUESTS }
          : pairs("request", "NAME=AMOUNT, such as cpu=100m", values.request),
      nodeSelector: pairs("node-selector", "KEY=VALUE, such as kubernetes.io/os=linux", values["node-selector"]),
      architectures: names("architecture", values.architecture),
      imagePullSecrets: names("image-pull-secret", values["image-pull-secret"]),
      energy: energy(values.energy),
      allowedHosts: names("allowed-host", values["allowed-host"]),
      proxy: proxy(values.proxy, values["proxy-exclude"]),
    },
    namespaces: values.namespace ?? fromEnvironment,
    leaderElect: values["leader-elect"] ?? environment["MODELWRIGHT_LEADER_ELECT"] === "true",
    leaseNamespace: values["lease-namespace"],
    identity: values.identity,
    healthPort: port("health-port", values["health-port"] ?? "8081"),
    activator: activator(values),
    kubeconfig: values.kubeconfig,
    context: values.context,
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
        "runtime-image": { type: "string" },
        namespace: { type: "string", multiple: true },
        request: { type: "string", multiple: true },
        "node-selector": { type: "string", multiple: true },
        architecture: { type: "string", multiple: true },
        "image-pull-secret": { type: "string", multiple: true },
        energy: { type: "string", multiple: true },
        "allowed-host": { type: "string", multiple: true },
        proxy: { type: "string" },
        "proxy-exclude": { type: "string", multiple: true },
        "leader-elect": { type: "boolean" },
        "lease-namespace": { type: "string" },
        identity: { type: "string" },
        "health-port": { type: "string" },
        "activator-service": { type: "string" },
        "activator-ports": { type: "string" },
        "activator-health": { type: "string" },
        kubeconfig: { type: "string" },
        context: { type: "string" },
        "ca-file": { type: "string" },
        "log-level": { type: "string" },
      },
    }).values;
  } catch (cause) {
    const error = new FlagError(`${cause instanceof Error ? cause.message : String(cause)}\n\n${USAGE}`);
    error.cause = cause;
    throw error;
  }
}

function activator(values: ReturnType<typeof parse>): ActivatorFlags | undefined {
  const [service] = names(
    "activator-service",
    values["activator-service"] === undefined ? [] : [values["activator-service"]],
  );
  if (service === undefined) return undefined;
  const range = values["activator-ports"] ?? "20000-21999";
  const [, first = "", last = ""] = /^(\d+)-(\d+)$/.exec(range) ?? [];
  const from = port("activator-ports", first);
  const to = port("activator-ports", last);
  // What an activator says of its ports must fit into one answer.
  if (from < 1024 || to < from || to - from >= 4096) {
    throw new FlagError(`--activator-ports ${range} is no range of up to 4096 ports from 1024 on, such as 20000-21999`);
  }
  const healthPort = port("activator-health", values["activator-health"] ?? "8081");
  return { service, ports: { first: from, count: to - from + 1 }, healthPort };
}

function port(flag: string, text: string): number {
  const number = Number(text);
  if (text === "" || !Number.isInteger(number) || number < 0 || number > 65535) {
    throw new FlagError(`--${flag} ${text} is no port; give a number from 0 (any free port) to 65535`);
  }
  return number;
}

function pairs(flag: string, form: string, given: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const [name = "", value = ""] = text.split("=");
      if (name === "" || value === "") throw new FlagError(`--${flag} ${text} is not of the form ${form}`);
      return [name, value];
    }),
  );
}

function energy(given: readonly string[] = []): readonly string[] {
  try {
    energyModel(given);
  } catch (cause) {
    throw new FlagError(`--energy ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  return given;
}

function proxy(url: string | undefined, exclude: readonly string[] = []): Proxy | undefined {
  if (url === undefined) return undefined;
  if (!/^https?:\/\/[A-Za-z0-9.-]+(:[0-9]+)?$/.test(url)) {
    throw new FlagError("--proxy is not of the form http://HOST:PORT; credentials and paths are no part of it");
  }
  for (const host of exclude) {
    if (!/^[A-Za-z0-9.:*-]+$/.test(host)) {
      throw new FlagError(
        `--proxy-exclude ${host} is no host; give a name, an address, or .example.com for all below it`,
      );
    }
  }
  return { url, exclude };
}

function names(flag: string, given: readonly string[] = []): readonly string[] {
  for (const name of given) {
    if (!/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(name)) {
      throw new FlagError(`--${flag} ${name} is no name; use lower-case letters, digits, "-" and "."`);
    }
  }
  return given;
}
