import { createHash } from "node:crypto";
import { chmod, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { request } from "undici";
import { command } from "./command.ts";
import type { Release } from "./programs.ts";

export class DownloadError extends Error {
  override readonly name = "DownloadError";
}

/** Can the release sites be reached? Decided within 3 seconds. */
export async function siteAnswers(): Promise<boolean> {
  return request("https://dl.k8s.io/", { method: "HEAD", signal: AbortSignal.timeout(3000) }).then(
    () => true,
    () => false,
  );
}

/** Downloads a release, verifies its published sha256 and puts the program into the folder. Throws DownloadError. */
export async function downloadProgram({
  name,
  release,
  version,
  folder,
  fetch = get,
}: {
  name: string;
  release: Release;
  version: string;
  folder: string;
  fetch?: (url: string) => Promise<Buffer>;
}): Promise<void> {
  const arch = process.arch === "x64" ? "amd64" : process.arch;
  const url = release.url(version, arch);
  const expected = await publishedSum(release, url, version, fetch);
  const bytes = await fetch(url);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (actual !== expected) throw new DownloadError(`${url} has sha256 ${actual}, published is ${expected}`);
  await install(bytes, join(folder, name), release.member?.(arch));
}

async function publishedSum(
  release: Release,
  url: string,
  version: string,
  fetch: (url: string) => Promise<Buffer>,
): Promise<string> {
  const sum =
    typeof release.sum === "string"
      ? (await fetch(release.sum.replace("url", url))).toString().trim().split(/\s+/)[0]
      : await listedDigest(release.sum.repository, url, version, fetch);
  if (sum === undefined || !/^[0-9a-f]{64}$/.test(sum)) throw new DownloadError(`no sha256 is published for ${url}`);
  return sum;
}

async function listedDigest(
  repository: string,
  url: string,
  version: string,
  fetch: (url: string) => Promise<Buffer>,
): Promise<string | undefined> {
  const answer = await fetch(`https://api.github.com/repos/${repository}/releases/tags/${version}`);
  const { assets } = JSON.parse(answer.toString()) as {
    assets: { browser_download_url: string; digest: string | null }[];
  };
  return assets.find((asset) => asset.browser_download_url === url)?.digest?.replace("sha256:", "");
}

async function install(bytes: Buffer, target: string, member: string | undefined): Promise<void> {
  const work = `${target}.${process.pid}.part`;
  await mkdir(work);
  try {
    const file = join(work, "file");
    await writeFile(file, bytes);
    if (member !== undefined) {
      const program = await command("tar", [
        "-xzf",
        file,
        "-C",
        work,
        "--wildcards",
        "--transform",
        "s,.*/,,",
        "--show-transformed-names",
        "-v",
        member,
      ]);
      await rename(join(work, program.trim()), file);
    }
    await chmod(file, 0o755);
    await rename(file, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Follows redirects, as release sites store their files elsewhere. A minute of silence ends it. */
async function get(url: string, hops = 5): Promise<Buffer> {
  const { statusCode, headers, body } = await request(url, {
    headers: { "user-agent": "modelwright" },
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
  });
  const location = headers["location"];
  if (statusCode >= 300 && statusCode < 400 && typeof location === "string" && hops > 0) {
    await body.dump();
    return get(new URL(location, url).href, hops - 1);
  }
  if (statusCode !== 200) throw new DownloadError(`${url} answered ${statusCode}`);
  return Buffer.from(await body.arrayBuffer());
}
