import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "./command.ts";
import { DownloadError, downloadProgram } from "./download.ts";
import type { Release } from "./programs.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "modelwright-download-"));
});
afterAll(() => rm(folder, { recursive: true }));

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** A site that holds these files. */
const site = (files: Record<string, Buffer | string>) => async (url: string) => {
  const file = files[url];
  if (file === undefined) throw new DownloadError(`${url} answered 404`);
  return Buffer.from(file);
};

describe("a downloaded program", () => {
  const release: Release = { url: (version) => `https://site/${version}/tool`, sum: "url.sha256" };
  const program = Buffer.from("#!/bin/sh\necho tool\n");

  it("is stored, executable, when its checksum is the published one", async () => {
    const fetch = site({
      "https://site/v1.0.0/tool": program,
      "https://site/v1.0.0/tool.sha256": `${sha256(program)}\n`,
    });
    await downloadProgram({ name: "tool", release, version: "v1.0.0", folder, fetch });
    expect(await command(join(folder, "tool"), [])).toBe("tool\n");
    await rm(join(folder, "tool"));
  });

  it("is refused when its checksum is another one, and leaves nothing behind", async () => {
    const fetch = site({ "https://site/v1.0.0/tool": "changed", "https://site/v1.0.0/tool.sha256": sha256(program) });
    await expect(downloadProgram({ name: "tool", release, version: "v1.0.0", folder, fetch })).rejects.toThrow(
      /sha256.*published/,
    );
    expect(await readdir(folder)).toEqual([]);
  });

  it("is refused when no checksum is published", async () => {
    const listed: Release = { ...release, sum: { repository: "owner/tool" } };
    const assets = [{ browser_download_url: "https://site/v1.0.0/tool", digest: null }];
    const list = "https://api.github.com/repos/owner/tool/releases/tags/v1.0.0";
    const fetch = site({ "https://site/v1.0.0/tool": program, [list]: JSON.stringify({ assets }) });
    await expect(downloadProgram({ name: "tool", release: listed, version: "v1.0.0", folder, fetch })).rejects.toThrow(
      "no sha256 is published",
    );
  });

  it("is taken out of its archive", async () => {
    const root = await mkdtemp(join(tmpdir(), "modelwright-archive-"));
    await mkdir(join(root, "tool-v1.0.0-linux"));
    await writeFile(join(root, "tool-v1.0.0-linux", "tool"), program);
    await writeFile(join(root, "tool-v1.0.0-linux", "README"), "other");
    await command("tar", ["-czf", join(root, "all.tar.gz"), "-C", root, "tool-v1.0.0-linux"]);
    const archive = await readFile(join(root, "all.tar.gz"));
    await rm(root, { recursive: true });
    const digest = `sha256:${sha256(archive)}`;
    const list = "https://api.github.com/repos/owner/tool/releases/tags/v1.0.0";
    const assets = [{ browser_download_url: "https://site/v1.0.0/tool.tar.gz", digest }];
    const packed: Release = {
      url: () => "https://site/v1.0.0/tool.tar.gz",
      sum: { repository: "owner/tool" },
      member: () => "tool-*-linux/tool",
    };
    const fetch = site({ "https://site/v1.0.0/tool.tar.gz": archive, [list]: JSON.stringify({ assets }) });
    await downloadProgram({ name: "tool", release: packed, version: "v1.0.0", folder, fetch });
    expect(await readFile(join(folder, "tool"))).toEqual(program);
    expect((await stat(join(folder, "tool"))).mode & 0o111).toBe(0o111);
    expect(await readdir(folder)).toEqual(["tool"]);
  });
});
