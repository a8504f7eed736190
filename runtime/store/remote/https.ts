/** Files on web servers; a URI that ends with the name of an artefact's manifest stands for the whole artefact. */
import type { IncomingMessage } from "node:http";
import { ArtefactManifest } from "../../../crds/contract/artefact.ts";
import { MANIFEST_FILE } from "../../../crds/contract/names.ts";
import type { Access } from "../../../crds/location.ts";
import { Failure } from "../../failure.ts";
import { authorities, credential, publicReach } from "./access.ts";
import type { Part } from "./download.ts";
import type { Entry } from "./remote.ts";
import { type Call, bodyOf, call } from "./web.ts";

const MANIFEST_LIMIT = 4 * 1024 * 1024;

/** `Authorization` for a token, or a user name and password; undefined without. */
export async function authorization(access: Access): Promise<string | undefined> {
  const [token, username, password] = await Promise.all(
    ["token", "username", "password"].map((key) => credential(access, key)),
  );
  if (token !== undefined) return `Bearer ${token}`;
  if (username === undefined || password === undefined) return undefined;
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** Throws Failure where another try cannot help, and Error where it may. */
export function checkAnswer({ statusCode = 0 }: IncomingMessage, shownAs: string): void {
  if (statusCode < 300) return;
  if (statusCode === 404 || statusCode === 410) {
    throw new Failure("InputMissing", `${shownAs} does not exist; put it there, or correct the URI`);
  }
  if (statusCode === 401 || statusCode === 403) {
    throw new Failure("AccessDenied", `${shownAs}: access was denied (${statusCode}); correct credentials, or the URI`);
  }
  if (statusCode < 500 && statusCode !== 408 && statusCode !== 429) {
    throw new Failure("InputMissing", `${shownAs} is answered with ${statusCode}; correct the URI`);
  }
  throw new Error(`the server answers ${statusCode}`);
}

/** A strong version of the file; a weak one does not promise the same bytes. */
function versionOf({ headers }: IncomingMessage): string | undefined {
  const { etag } = headers;
  return etag === undefined || etag.startsWith("W/") ? headers["last-modified"] : etag;
}

/** The part of a file from `offset` on, or the whole if it has changed. */
export async function openPart(
  url: URL,
  options: Call,
  { offset, version, shownAs }: { offset: number; version: string | undefined; shownAs: string },
): Promise<Part> {
  const resumes = offset > 0 && version !== undefined;
  const range = resumes ? { range: `bytes=${offset}-`, "if-range": version } : {};
  const response = await call(url, { ...options, headers: { ...options.headers, ...range } });
  try {
    checkAnswer(response, shownAs);
  } catch (error) {
    response.destroy();
    throw error;
  }
  const start = response.statusCode === 206 ? offset : 0;
  const length = response.headers["content-length"];
  const size = length === undefined ? undefined : start + Number(length);
  return { body: response, offset: start, size, version: versionOf(response) };
}

/** The files at `uri`. Throws Failure: InputMissing, AccessDenied, DigestMismatch. */
export async function webEntries(uri: string, access: Access): Promise<Entry[]> {
  const [ca, authorized] = await Promise.all([authorities(access), authorization(access)]);
  const headers = authorized === undefined ? {} : { authorization: authorized };
  const options: Call = { ca, headers, reach: publicReach() };
  const entry = (url: URL, path: string, version: string, sha256?: string): Entry => ({
    path,
    version,
    sha256,
    shownAs: url.href,
    open: (offset, of) => openPart(url, options, { offset, version: of, shownAs: url.href }),
  });
  const url = new URL(uri);
  if (!url.pathname.endsWith(`/${MANIFEST_FILE}`)) {
    const head = await call(url, { ...options, method: "HEAD" });
    head.destroy();
    return [entry(url, "", versionOf(head) ?? String(Date.now()))];
  }
  const response = await call(url, options);
  checkAnswer(response, uri);
  const text = (await bodyOf(response, MANIFEST_LIMIT)).toString("utf8");
  const manifest = manifestOf(text, uri);
  return [
    ...manifest.files.map(({ path, sha256 }) => entry(new URL(path, url), path, sha256, sha256)),
    entry(url, MANIFEST_FILE, versionOf(response) ?? String(Date.now())),
  ];
}

function manifestOf(text: string, uri: string): ArtefactManifest {
  try {
    return ArtefactManifest.parse(JSON.parse(text));
  } catch (cause) {
    throw new Failure("DigestMismatch", `${uri} is no manifest of an artefact; correct the URI`, { cause });
  }
}
