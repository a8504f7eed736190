/** Object stores that speak S3: Amazon's, others by their endpoint, and Google's through its interoperable API (HMAC keys). */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
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
  if (error.name === "NoSuchBucket") {
    const { bucket } = locationOf(shownAs);
    const message = `${shownAs}: there is no bucket ${bucket}; create it, or correct the URI`;
    return new Failure("InputMissing", message, { cause: error });
  }
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

/** What must be in an object's place for a write to happen: nothing, or what a reader of that version has seen. */
export type Condition = { version: string } | "Absent";

/** Is it what a store answers when the condition of a write does not hold, or two writes met? */
function isConflict(error: unknown): boolean {
  return error instanceof S3ServiceException && [409, 412].includes(error.$metadata.httpStatusCode ?? 0);
}

/** Nothing is there, in a bucket that exists. */
function isAbsent(error: unknown): boolean {
  return error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404 && error.name !== "NoSuchBucket";
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

  /** A small object as text, with its version; undefined when it is not there. Throws Failure. */
  async read(key: string): Promise<{ text: string; version: string } | undefined> {
    try {
      const { Body, ETag: version = "" } = await this.#client.send(
        new GetObjectCommand({ Bucket: this.#bucket, Key: key }),
      );
      return { text: (await Body?.transformToString()) ?? "", version };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw failure(error, this.#shown(key));
    }
  }

  /** What must not have changed for a write of `key` to happen. Throws Failure. */
  async condition(key: string): Promise<Condition> {
    try {
      const { ETag: version = "" } = await this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key }));
      return { version };
    } catch (error) {
      if (isAbsent(error)) return "Absent";
      throw failure(error, this.#shown(key));
    }
  }

  /** Writes an object as a whole; false when `condition` does not hold. Throws Failure. */
  async write(key: string, body: Buffer | string, condition: Condition): Promise<boolean> {
    const only = condition === "Absent" ? { IfNoneMatch: "*" } : { IfMatch: condition.version };
    try {
      await this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: key, Body: body, ...only }));
      return true;
    } catch (error) {
      // An object that is to be replaced, but has gone, is no longer that version either.
      if (isConflict(error) || (condition !== "Absent" && isAbsent(error))) return false;
      throw failure(error, this.#shown(key));
    }
  }

  /** Removes an object; one that is not there is as good. Throws Failure. */
  async remove(key: string): Promise<void> {
    try {
      await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
    } catch (error) {
      throw failure(error, this.#shown(key));
    }
  }

  close(): void {
    this.#client.destroy();
  }
}
