import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** PEM texts for one TLS connection. */
export interface TlsMaterial {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
  readonly rejectUnauthorized?: boolean | undefined;
}

/** How to reach an API server, and as whom. Credentials are read again at most once a minute. */
export interface Connection {
  /** Origin and optional path prefix, without a trailing slash. */
  readonly server: string;
  /** The namespace of the context, or of the pod. */
  readonly namespace: string;
  /** The same object for as long as nothing changed. `fresh` skips what is remembered, after a refused certificate. */
  tls(fresh?: boolean): Promise<TlsMaterial>;
  /** The value of the Authorization header. `fresh` skips what is remembered, after a 401. */
  authorization(fresh?: boolean): Promise<string | undefined>;
}

export interface ConnectionOptions {
  /** Path of a kubeconfig. Without it: $KUBECONFIG, the pod's service account, ~/.kube/config. */
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** Where the pod's service account is mounted. */
  readonly serviceAccountFolder?: string | undefined;
  /** The process environment: KUBERNETES_SERVICE_HOST and _PORT say that this is a pod, KUBECONFIG names a file. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

export class KubeConfigError extends Error {
  override readonly name = "KubeConfigError";
  readonly code = "KubeConfigInvalid";
}

const rereadMilliseconds = 60_000;
const defaultServiceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Chooses the kubeconfig that is named, else $KUBECONFIG, else the pod's service account, else ~/.kube/config. */
export async function loadConnection(options: ConnectionOptions = {}): Promise<Connection> {
  const environment = options.environment ?? {};
  const path = options.kubeconfig ?? (environment["KUBECONFIG"] || undefined);
  const host = environment["KUBERNETES_SERVICE_HOST"];
  if (path === undefined && host) return inCluster(options, host, environment["KUBERNETES_SERVICE_PORT"] ?? "443");
  return fromKubeConfig(path ?? join(homedir(), ".kube", "config"), options.context);
}

async function inCluster(options: ConnectionOptions, host: string, port: string): Promise<Connection> {
  const folder = options.serviceAccountFolder ?? defaultServiceAccountFolder;
  const token = remembered(() => readText(join(folder, "token"), "the service account token"));
  const tls = remembered(async () => ({ ca: await readText(join(folder, "ca.crt"), "the cluster's CA") }));
  await Promise.all([token(), tls()]);
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: (await readText(join(folder, "namespace"), "the pod's namespace")).trim(),
    tls,
    authorization: async (fresh) => `Bearer ${(await token(fresh)).trim()}`,
  };
}

interface NamedEntries {
  readonly [kind: string]: unknown;
}

async function fromKubeConfig(path: string, contextName: string | undefined): Promise<Connection> {
  const text = await readText(path, "the kubeconfig");
  // Only programs outside a cluster pay for the parser.
  const { parse } = await import("yaml");
  const config: unknown = parse(text);
  if (!isRecord(config)) throw new KubeConfigError(`${path} is not a kubeconfig: expected a YAML mapping`);
  const wanted = contextName ?? config["current-context"];
  if (typeof wanted !== "string" || !wanted) {
    throw new KubeConfigError(`${path} has no current-context: set one, or name a context`);
  }
  const context = named(config, "contexts", "context", wanted, path);
  const cluster = named(config, "clusters", "cluster", textOf(context, "cluster"), path);
  const user = context["user"] ? named(config, "users", "user", textOf(context, "user"), path) : {};
  const server = textOf(cluster, "server").replace(/\/+$/, "");
  if (!server) throw new KubeConfigError(`${path}: the cluster of context ${wanted} has no server`);
  if (cluster["proxy-url"]) {
    throw new KubeConfigError(`${path}: proxy-url is not supported; reach ${server} directly or through a tunnel`);
  }
  const folder = dirname(path);
  const clusterTls = async (): Promise<TlsMaterial> => ({
    ca: await material(cluster, "certificate-authority", folder),
    servername: textOf(cluster, "tls-server-name") || undefined,
    ...(cluster["insecure-skip-tls-verify"] === true ? { rejectUnauthorized: false } : {}),
  });
  const namespace = textOf(context, "namespace") || "default";
  if (user["exec"] || user["auth-provider"]) return externalUser(text, wanted, server, namespace, clusterTls);

  const authorization = remembered(async () => {
    const file = textOf(user, "tokenFile");
    const token = file ? await readText(resolve(folder, file), "the user's token") : textOf(user, "token");
    if (token) return `Bearer ${token.trim()}`;
    const name = textOf(user, "username");
    return name ? `Basic ${Buffer.from(`${name}:${textOf(user, "password")}`).toString("base64")}` : undefined;
  });
  const tls = remembered(async () => ({
    ...(await clusterTls()),
    cert: await material(user, "client-certificate", folder),
    key: await material(user, "client-key", folder),
  }));
  await Promise.all([tls(), authorization()]);
  return { server, namespace, tls, authorization };
}

/** Users that a program or an identity provider speaks for: client-node knows how, and is loaded for them alone. */
async function externalUser(
  text: string,
  context: string,
  server: string,
  namespace: string,
  clusterTls: () => Promise<TlsMaterial>,
): Promise<Connection> {
  const { KubeConfig } = await import("@kubernetes/client-node");
  const config = new KubeConfig();
  config.loadFromString(text);
  config.setCurrentContext(context);
  const credentials = remembered(async () => {
    const options: { headers: Record<string, string>; cert?: unknown; key?: unknown } = { headers: {} };
    await config.applyToHTTPSOptions(options as Parameters<typeof config.applyToHTTPSOptions>[0]);
    const authorization = options.headers["Authorization"] ?? options.headers["authorization"];
    return { authorization, tls: { ...(await clusterTls()), cert: pem(options.cert), key: pem(options.key) } };
  });
  return {
    server,
    namespace,
    tls: async (fresh) => (await credentials(fresh)).tls,
    authorization: async (fresh) => (await credentials(fresh)).authorization,
  };
}

function pem(value: unknown): string | undefined {
  return typeof value === "string" || Buffer.isBuffer(value) ? value.toString() : undefined;
}

/** Remembers a value for a minute, and keeps the identity of one that did not change. */
function remembered<T>(read: () => Promise<T>): (fresh?: boolean) => Promise<T> {
  let current: { value: T; text: string; readAt: number } | undefined;
  return async (fresh = false) => {
    if (current && !fresh && performance.now() - current.readAt < rereadMilliseconds) return current.value;
    const value = await read();
    const serialized = JSON.stringify(value) ?? "";
    const kept = current?.text === serialized ? current.value : value;
    current = { value: kept, text: serialized, readAt: performance.now() };
    return kept;
  };
}

async function readText(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const error = new KubeConfigError(`cannot read ${what} at ${path}: does it exist, and may this process read it?`);
    error.cause = cause;
    throw error;
  }
}

async function material(entry: NamedEntries, field: string, folder: string): Promise<string | undefined> {
  const inline = textOf(entry, `${field}-data`);
  if (inline) return Buffer.from(inline, "base64").toString("utf8");
  const file = textOf(entry, field);
  return file ? readText(resolve(folder, file), field) : undefined;
}

function named(config: NamedEntries, list: string, kind: string, name: string, path: string): NamedEntries {
  const entries = config[list];
  const found: unknown = Array.isArray(entries)
    ? entries.find((entry: unknown) => isRecord(entry) && entry["name"] === name)
    : undefined;
  const value = isRecord(found) ? found[kind] : undefined;
  if (!isRecord(value)) throw new KubeConfigError(`${path} has no ${kind} named ${name}`);
  return value;
}

function textOf(entry: NamedEntries, field: string): string {
  const value = entry[field];
  return typeof value === "string" ? value : "";
}

function isRecord(value: unknown): value is NamedEntries {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
