/** Object stores that speak S3: Amazon's, others by their endpoint, and Google's through its interoperable API (HMAC keys). */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Readable } from "node:stream";
import {
  GetObjectCommand,
  HeadObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import type { Access } from "../../../crds/location.ts";
import { Failure, systemCode } from "../../failure.ts";
import { authorities, credential, serviceReach } from "./access.ts";
import { checkHost, guardedLookup } from "./addresses.ts";
import type { Part } from "./download.ts";
import type { Entry } from "./remote.ts";

const NOBODY = { accessKeyId: "", secretAccessKey: "" };
const GOOGLE = "https://storage.googleapis.com";

export interface Location {
  bucket: string;
  key: string;
}

/** Parts of `s3://BUCKET/KEY` or `gs://BUCKET/KEY`. */
export function locationOf(uri: string): Location {
  const [, bucket = "", key = ""] = /^(?:s3|gs):\/\/([^/]+)\/(.+)$/.exec(uri) ?? [];
  return { bucket, key };
}

async function credentialsOf(access: Access): Promise<S3ClientConfig["credentials"]> {
  const of = async (key: string) =>
    access.credentials === undefined ? process.env[key] : await credential(access, key);
  const [accessKeyId, secretAccessKey, sessionToken] = await Promise.all(
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].map(of),
  );
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    if (access.credentials === undefined) return undefined;
    throw new Failure(
      "AccessDenied",
      `Secret ${access.credentials.secretName} needs the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; add them`,
    );
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

async function clientFor(uri: string, access: Access): Promise<S3Client> {
  const google = uri.startsWith("gs://");
  const endpoint = access.endpoint ?? (google ? GOOGLE : undefined);
  const [credentials, ca] = await Promise.all([credentialsOf(access), authorities(access)]);
  const reach = serviceReach();
  if (endpoint !== undefined) checkHost(new URL(endpoint).hostname, reach);
  const lookup = guardedLookup(reach);
  return new S3Client({
    region: access.region ?? (google ? "auto" : "us-east-1"),
    // A service that is named by its endpoint need not know its buckets as hosts.
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    // Requests without credentials are not signed, and none are looked for: not in the machine's metadata either.
    ...(credentials === undefined
      ? { signer: { sign: async (request) => request }, credentials: NOBODY }
      : { credentials }),
    requestHandler: {
      httpAgent: new HttpAgent({ keepAlive: true, lookup, proxyEnv: process.env }),
      httpsAgent: new HttpsAgent({
        keepAlive: true,
        lookup,
        proxyEnv: process.env,
        ...(ca === undefined ? {} : { ca }),
      }),
      connectionTimeout: 10_000,
      requestTimeout: 60_000,
    },
    // Not every service knows the newer checksums.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 4,
  });
}

/** What a service answered, as a Failure; undefined when another try may help. */
function refusal(error: unknown, shownAs: string): Failure | undefined {
  if (error instanceof Failure) return error;
  if (!(error instanceof S3ServiceException)) return undefined;
  const status = error.$metadata.httpStatusCode;
  if (status === 404) {
    return new Failure("InputMissing", `${shownAs} does not exist; put it there, or correct the URI`, { cause: error });
  }
  if (status === 401 || status === 403 || status === 400) {
    return new Failure(
      "AccessDenied",
      `${shownAs}: access was denied (${error.name}); correct credentials, endpoint and region, or the URI`,
      { cause: error },
    );
  }
  return undefined;
}

function failure(error: unknown, shownAs: string): Failure {
  const code = systemCode(error) ?? (error instanceof Error ? error.name : "unknown");
  return (
    refusal(error, shownAs) ??
    new Failure("StoreUnavailable", `${shownAs} cannot be reached (${code}); check endpoint and the network`, {
      cause: error,
    })
  );
}

/** A bucket, seen through its access. */
export class ObjectStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #scheme: string;

  private constructor(client: S3Client, bucket: string, scheme: string) {
    this.#client = client;
    this.#bucket = bucket;
    this.#scheme = scheme;
  }

  /** Throws Failure: AccessDenied, InputMissing. */
  static async open(uri: string, access: Access): Promise<ObjectStore> {
    return new ObjectStore(await clientFor(uri, access), locationOf(uri).bucket, uri.slice(0, 5));
  }

  #shown(key: string): string {
    return `${this.#scheme}${this.#bucket}/${key}`;
  }

  /** The object `key`, or all objects below it. Throws Failure: InputMissing when there is nothing. */
  async entries(key: string): Promise<Entry[]> {
    const shownAs = this.#shown(key);
    const head = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key })).then(
      ({ ETag: version = "" }) => version,
      (error: unknown) => {
        const known = failure(error, shownAs);
        if (known.reason === "InputMissing") return undefined;
        throw known;
      },
    );
    if (head !== undefined) return [this.#entry(key, "", head)];
    const found = await this.list(`${key}/`);
    if (found.length === 0) {
      throw new Failure("InputMissing", `${shownAs} does not exist; put it there, or correct the URI`);
    }
    return found.map(({ name, version }) => this.#entry(`${key}/${name}`, name, version));
  }

  /** Objects whose keys begin with `prefix`, by the rest of their keys. */
  async list(prefix: string): Promise<{ name: string; version: string }[]> {
    const found: { name: string; version: string }[] = [];
    try {
      const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix: prefix });
      for await (const { Contents = [] } of pages) {
        for (const { Key = "", ETag: version = "" } of Contents) {
          // A key that ends with / is a folder that somebody made.
          if (!Key.endsWith("/")) found.push({ name: Key.slice(prefix.length), version });
        }
      }
    } catch (error) {
      throw failure(error, this.#shown(prefix));
    }
    return found;
  }

  #entry(key: string, path: string, version: string): Entry {
    const shownAs = this.#shown(key);
    return { path, version, shownAs, open: (offset) => this.#open(key, offset, version) };
  }

  async #open(key: string, offset: number, version: string): Promise<Part> {
    try {
      const { Body, ContentLength, ContentRange } = await this.#client.send(
        new GetObjectCommand({
          Bucket: this.#bucket,
          Key: key,
          ...(version === "" ? {} : { IfMatch: version }),
          ...(offset === 0 ? {} : { Range: `bytes=${offset}-` }),
        }),
      );
      const start = ContentRange === undefined ? 0 : offset;
      // In Node the SDK gives a stream of Node.
      return { body: Body as Readable, offset: start, size: start + (ContentLength ?? 0), version };
    } catch (error) {
      const refused = refusal(error, this.#shown(key));
      if (refused !== undefined) throw refused;
      throw error;
    }
  }

  close(): void {
    this.#client.destroy();
  }
}
