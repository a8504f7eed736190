import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { command } from "./command.ts";

export type ImageOptions = {
  /** Folder that becomes the image's root. */
  root: string;
  /** Such as `localhost/pause:1`. */
  name: string;
  /** The tar to write. */
  out: string;
  entrypoint: string[];
  /** Numeric user, for pods that must not run as root. */
  user?: string;
};

/** Packs a folder as an OCI image with one layer, without any builder. */
export async function packImage({ root, name, out, entrypoint, user }: ImageOptions): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "modelwright-image-"));
  try {
    const blobs = join(work, "blobs", "sha256");
    await mkdir(blobs, { recursive: true });
    const put = async (bytes: Buffer) => {
      const digest = createHash("sha256").update(bytes).digest("hex");
      await writeFile(join(blobs, digest), bytes);
      return { digest: `sha256:${digest}`, size: bytes.length };
    };
    const json = (value: unknown) => put(Buffer.from(JSON.stringify(value)));

    const layer = await put(await tar(root));
    const config = await json({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: {
        Entrypoint: entrypoint,
        Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        ...(user === undefined ? {} : { User: user }),
      },
      rootfs: { type: "layers", diff_ids: [layer.digest] },
    });
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const manifest = await json({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
    });
    const annotations = { "io.containerd.image.name": name };
    await writeFile(join(work, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    await writeFile(
      join(work, "index.json"),
      JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, ...manifest, annotations }] }),
    );
    await command("tar", ["-cf", resolve(out), "-C", work, "oci-layout", "index.json", "blobs"]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Packs one static program as an image that runs it. */
export async function packProgram({
  program,
  ...options
}: Omit<ImageOptions, "root" | "entrypoint"> & { program: string }): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "modelwright-root-"));
  try {
    await copyFile(program, join(root, basename(program)));
    await packImage({ ...options, root, entrypoint: [`/${basename(program)}`] });
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** The folder as a tar that is the same for the same files, whoever owns them and whenever they were written. */
async function tar(folder: string): Promise<Buffer> {
  const work = await mkdtemp(join(tmpdir(), "modelwright-layer-"));
  try {
    const file = join(work, "layer.tar");
    const same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=go=rX,u+rwX"];
    await command("tar", [...same, "-cf", file, "-C", resolve(folder), "."]);
    return await readFile(file);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
