import { readFile } from "node:fs/promises";
import { Agent, request } from "undici";
import { parse as parseYaml } from "yaml";

/** The API server refused a request. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly reason: string;

  constructor(method: string, path: string, status: number, body: string) {
    const parsed = parse(body);
    const message = typeof parsed["message"] === "string" ? parsed["message"] : body;
    super(`${method} ${path}: ${status} ${message}`);
    this.status = status;
    this.reason = typeof parsed["reason"] === "string" ? parsed["reason"] : "";
  }
}

/** A Kubernetes object as JSON, read without a schema. */
export type Json = Record<string, unknown>;

type Kubeconfig = {
  "current-context": string;
  contexts: { name: string; context: { cluster: string; user: string } }[];
  clusters: { name: string; cluster: { server: string; "certificate-authority-data"?: string } }[];
  users: { name: string; user: { token?: string; "client-certificate-data"?: string; "client-key-data"?: string } }[];
};

const decode = (data: string | undefined): Buffer | undefined =>
  data === undefined ? undefined : Buffer.from(data, "base64");

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A plain client for tests and for bringing up a cluster: JSON in, JSON out, nothing hidden. */
export class Api {
  readonly url: string;
  readonly #agent: Agent;
  readonly #headers: Record<string, string>;

  private constructor(url: string, agent: Agent, headers: Record<string, string>) {
    this.url = url;
    this.#agent = agent;
    this.#headers = headers;
  }

  /** A client for the current context of a kubeconfig that holds its certificates, or a token, itself. */
  static async fromKubeconfig(path: string): Promise<Api> {
    const config = parseYaml(await readFile(path, "utf8")) as Kubeconfig;
    const context = config.contexts.find(({ name }) => name === config["current-context"])?.context;
    const cluster = config.clusters.find(({ name }) => name === context?.cluster)?.cluster;
    const user = config.users.find(({ name }) => name === context?.user)?.user;
    if (!cluster || !user) throw new Error(`${path}: current-context names no cluster and user of the file`);
    const connect = {
      ca: decode(cluster["certificate-authority-data"]),
      cert: decode(user["client-certificate-data"]),
      key: decode(user["client-key-data"]),
    };
    return new Api(
      cluster.server,
      new Agent({ connect }),
      user.token === undefined ? {} : { authorization: `Bearer ${user.token}` },
    );
  }

  /** The answer's text. Throws ApiError for a status of 400 and above. */
  async text(method: Method, path: string, body?: unknown, type = "application/json"): Promise<string> {
    const response = await request(`${this.url}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: {
        ...this.#headers,
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": type }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.body.text();
    if (response.statusCode >= 400) throw new ApiError(method, path, response.statusCode, text);
    return text;
  }

  async get<T = Json>(path: string): Promise<T> {
    return JSON.parse(await this.text("GET", path)) as T;
  }

  async post<T = Json>(path: string, body: unknown): Promise<T> {
    return JSON.parse(await this.text("POST", path, body)) as T;
  }

  async put<T = Json>(path: string, body: unknown): Promise<T> {
    return JSON.parse(await this.text("PUT", path, body)) as T;
  }

  /** JSON merge patch for an object, JSON patch for a list. */
  async patch<T = Json>(path: string, body: unknown): Promise<T> {
    const type = Array.isArray(body) ? "application/json-patch+json" : "application/merge-patch+json";
    return JSON.parse(await this.text("PATCH", path, body, type)) as T;
  }

  /** Server-side apply, taking over every field that is given. */
  async apply<T = Json>(path: string, body: unknown): Promise<T> {
    const query = "fieldManager=modelwright-cluster&force=true";
    return JSON.parse(await this.text("PATCH", `${path}?${query}`, body, "application/apply-patch+yaml")) as T;
  }

  async delete(path: string): Promise<void> {
    await this.text("DELETE", path);
  }

  /** The object, or undefined if there is none. */
  async find<T = Json>(path: string): Promise<T | undefined> {
    return this.get<T>(path).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 404) return undefined;
      throw error;
    });
  }

  /** Resolves when something in a list has changed since a resourceVersion, and after a minute at the latest. */
  async change(path: string, resourceVersion: string, signal: AbortSignal): Promise<void> {
    const response = await request(`${this.url}${path}?watch=1&timeoutSeconds=60&resourceVersion=${resourceVersion}`, {
      dispatcher: this.#agent,
      headers: this.#headers,
      signal,
      bodyTimeout: 0,
    });
    for await (const _ of response.body) return;
  }

  /** Does the server answer as ready, with all of its start-up work done? */
  async ready(): Promise<boolean> {
    const options = { dispatcher: this.#agent, headers: this.#headers, signal: AbortSignal.timeout(3000) };
    try {
      const response = await request(`${this.url}/readyz`, options);
      await response.body.dump();
      return response.statusCode === 200;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** Does a health endpoint answer with 200? Its certificate is not checked: it is made by the program itself. */
export async function healthy(url: string): Promise<boolean> {
  const agent = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    const response = await request(url, { dispatcher: agent, signal: AbortSignal.timeout(2000) });
    await response.body.dump();
    return response.statusCode === 200;
  } catch {
    return false;
  } finally {
    await agent.destroy();
  }
}

function parse(body: string): Json {
  try {
    return JSON.parse(body) as Json;
  } catch {
    return {};
  }
}
