/**
 * Artifacts in OCI registries (distribution-spec 1.1): a manifest whose layers are files, named by the annotation
 * `org.opencontainers.image.title`, as ORAS and others push them. Every byte is checked by its digest.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { z } from "zod";
import type { Access } from "../../../crds/location.ts";
import { Failure } from "../../failure.ts";
import { authorities, credential, serviceReach } from "./access.ts";
import { authorization, checkAnswer, openPart } from "./https.ts";
import type { Entry } from "./remote.ts";
import { type Call, bodyOf, call } from "./web.ts";

const TITLE = "org.opencontainers.image.title";
const MANIFEST_LIMIT = 4 * 1024 * 1024;
const ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

const Manifest = z.object({
  layers: z.array(
    z.object({
      digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
      size: z.int().min(0),
      annotations: z.record(z.string(), z.string()).optional(),
    }),
  ),
});

interface Reference {
  registry: string;
  repository: string;
  /** A tag, or `sha256:…`. */
  version: string;
}

/** Parts of `oci://REGISTRY/REPOSITORY:TAG` or `…@sha256:DIGEST`. */
export function referenceOf(uri: string): Reference {
  const [, registry = "", repository = "", version = ""] =
    /^oci:\/\/([^/]+)\/(.+?)[:@]((?:sha256:)?[A-Za-z0-9._-]+)$/.exec(uri) ?? [];
  return { registry, repository, version };
}

const DockerConfig = z.object({
  auths: z.record(
    z.string(),
    z.object({ auth: z.string().optional(), username: z.string().optional(), password: z.string().optional() }),
  ),
});

/** `Basic …` from a Secret of type kubernetes.io/dockerconfigjson. */
async function dockerAuthorization(access: Access, registry: string): Promise<string | undefined> {
  const text = await credential(access, ".dockerconfigjson");
  if (text === undefined) return undefined;
  const entry = parsedConfig(text, access).auths[registry];
  if (entry === undefined) return undefined;
  const { auth, username, password } = entry;
  if (auth !== undefined) return `Basic ${auth}`;
  return `Basic ${Buffer.from(`${username ?? ""}:${password ?? ""}`).toString("base64")}`;
}

function parsedConfig(text: string, { credentials }: Access) {
  try {
    return DockerConfig.parse(JSON.parse(text));
  } catch {
    // Neither the text nor what is wrong in it is told: it holds passwords.
    throw new Failure("AccessDenied", `Secret ${credentials?.secretName ?? ""}: .dockerconfigjson has another form`);
  }
}

const Token = z.object({ token: z.string().optional(), access_token: z.string().optional() });

/** Parameters of `WWW-Authenticate: Bearer realm="…",service="…",scope="…"`. */
function challengeOf(header: string): Record<string, string> {
  return Object.fromEntries([...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]));
}

/** Fetches the token that the registry asks for. */
async function tokenFor(header: string, basic: string | undefined, options: Call, shownAs: string): Promise<string> {
  const { realm = "", ...parameters } = challengeOf(header);
  const url = URL.parse(realm);
  const denied = new Failure("AccessDenied", `${shownAs}: the registry's tokens cannot be had; correct credentials`);
  if (url === null || !/^https?:$/.test(url.protocol)) throw denied;
  for (const name of ["service", "scope"]) {
    if (parameters[name] !== undefined) url.searchParams.set(name, parameters[name]);
  }
  const response = await call(url, { ...options, headers: basic === undefined ? {} : { authorization: basic } });
  if (response.statusCode !== 200) {
    response.destroy();
    throw denied;
  }
  const { token, access_token: other } = Token.parse(JSON.parse((await bodyOf(response, 1 << 20)).toString("utf8")));
  const found = token ?? other;
  if (found === undefined) throw denied;
  return found;
}

/** Answers of the registry, with the authorization that it asks for. */
class Registry {
  readonly #base: string;
  readonly #options: Call;
  readonly #shownAs: string;
  readonly #basic: string | undefined;
  #authorization: string | undefined;

  constructor(base: string, options: Call, basic: string | undefined, shownAs: string) {
    this.#base = base;
    this.#options = options;
    this.#basic = basic;
    this.#shownAs = shownAs;
  }

  url(path: string): URL {
    return new URL(`${this.#base}/v2/${path}`);
  }

  /** Options of a call as the registry wants it. */
  signed(headers: Record<string, string> = {}): Call {
    const authorized = this.#authorization === undefined ? {} : { authorization: this.#authorization };
    return { ...this.#options, headers: { ...headers, ...authorized } };
  }

  async get(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
    const first = await call(this.url(path), this.signed(headers));
    const challenge = first.headers["www-authenticate"];
    if (first.statusCode !== 401 || challenge === undefined) return first;
    first.destroy();
    this.#authorization = /^bearer /i.test(challenge)
      ? `Bearer ${await tokenFor(challenge, this.#basic, this.#options, this.#shownAs)}`
      : this.#basic;
    return call(this.url(path), this.signed(headers));
  }
}

function fileName(annotations: Record<string, string> | undefined, uri: string): string {
  const title = annotations?.[TITLE];
  if (title !== undefined && /^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/.test(title)) return title;
  throw new Failure(
    "ModelUnsupported",
    `${uri} has a layer that is no named file; push the files with oras, or another tool that sets ${TITLE}`,
  );
}

/** The files of the artifact at `uri`. Throws Failure: InputMissing, AccessDenied, DigestMismatch, ModelUnsupported. */
export async function registryEntries(uri: string, access: Access): Promise<Entry[]> {
  const { registry: host, repository, version } = referenceOf(uri);
  const [ca, basic, docker] = await Promise.all([
    authorities(access),
    authorization(access),
    dockerAuthorization(access, host),
  ]);
  const base = access.endpoint ?? `https://${host}`;
  const registry = new Registry(base, { ca, reach: serviceReach() }, docker ?? basic, uri);
  const response = await registry.get(`${repository}/manifests/${version}`, { accept: ACCEPT });
  try {
    checkAnswer(response, uri);
  } catch (error) {
    response.destroy();
    throw error;
  }
  const bytes = await bodyOf(response, MANIFEST_LIMIT);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (version.startsWith("sha256:") && version !== digest) {
    throw new Failure("DigestMismatch", `${uri}: the registry sent a manifest of another digest; try another registry`);
  }
  const parsed = Manifest.safeParse(JSON.parse(bytes.toString("utf8")));
  if (!parsed.success) {
    throw new Failure(
      "ModelUnsupported",
      `${uri} is no artifact of one manifest; name that of a platform by its digest`,
    );
  }
  return parsed.data.layers.map(({ digest: blob, annotations }) => {
    const path = fileName(annotations, uri);
    const shownAs = `${uri} ${path}`;
    const open: Entry["open"] = (offset, of) =>
      openPart(registry.url(`${repository}/blobs/${blob}`), registry.signed(), {
        offset,
        version: of ?? blob,
        shownAs,
      });
    return { path, version: blob, sha256: blob.slice("sha256:".length), shownAs, open };
  });
}
