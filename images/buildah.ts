import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, succeeds } from "../test/cluster/command.ts";

/** Files in layers get this time, so that equal contents are equal layers: 2000-01-01. */
const timestamp = 946_684_800;

export type Build = {
  dockerfile: string;
  /** The folder sent to the builder. */
  context: string;
  tag: string;
  args: Record<string, string>;
  /** What stands in for stages of the Dockerfile: a folder, or an image as `docker-image://NAME`. */
  stages: Record<string, string>;
  /** The stage to end with, if it is not the last. */
  target?: string;
  /** One layer for each instruction; else one for all. */
  layers: boolean;
  /** Fetch the base from its registry, if it is not in the store. */
  pull: boolean;
};

/** buildah with a store of its own: nothing of the machine's configuration is read for policy, nothing outside the folder is written. */
export class Buildah {
  readonly #global: string[];
  readonly #policy: string[];
  /** How layers are stored; vfs copies each layer whole and works everywhere. */
  readonly driver: string;

  private constructor(folder: string, driver: string) {
    this.driver = driver;
    this.#global = [
      "--root",
      join(folder, driver),
      "--runroot",
      join(folder, `${driver}-run`),
      "--storage-driver",
      driver,
    ];
    this.#policy = ["--signature-policy", join(folder, "policy.json")];
  }

  /** Opens the store in a folder, with overlay where a container can be mounted so, else with vfs. */
  static async open(folder: string): Promise<Buildah> {
    await mkdir(folder, { recursive: true });
    // images are our own, made here: there is no signature to check
    await writeFile(join(folder, "policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    const overlay = new Buildah(folder, "overlay");
    return (await overlay.#works()) ? overlay : new Buildah(folder, "vfs");
  }

  async #works(): Promise<boolean> {
    const container = await this.#run("from", ["--pull-never", "scratch"]).catch(() => undefined);
    if (container === undefined) return false;
    const mounts = await this.#succeeds("mount", [container]);
    await this.#run("rm", [container]);
    return mounts;
  }

  has(image: string): Promise<boolean> {
    return this.#succeeds("inspect", ["--type", "image", image]);
  }

  /** Makes an image of one layer from a folder. */
  async fromFolder(folder: string, image: string): Promise<void> {
    const container = await this.#run("from", ["--pull-never", "scratch"]);
    await this.#run("add", ["--quiet", container, folder, "/"]);
    await this.#run("commit", ["--quiet", "--rm", ...this.#policy, container, image]);
  }

  async build({ dockerfile, context, tag, args, stages, target, layers, pull }: Build): Promise<void> {
    await this.#run("bud", [
      "--isolation=chroot",
      `--layers=${layers}`,
      `--timestamp=${timestamp}`,
      pull ? "--pull" : "--pull-never",
      ...this.#policy,
      "--file",
      dockerfile,
      "--tag",
      tag,
      ...(target === undefined ? [] : ["--target", target]),
      ...pairs("--build-arg", args),
      ...pairs("--build-context", stages),
      context,
    ]);
  }

  /** Writes an image to an archive that `ctr images import` and `docker load` read. It is not compressed: it stays on this machine. */
  async save(image: string, archive: string): Promise<void> {
    await rm(archive, { force: true });
    await this.#run("push", ["--quiet", ...this.#policy, image, `docker-archive:${archive}:${image}`]);
  }

  /** Reads an archive of `save` back. */
  async load(archive: string): Promise<void> {
    await this.#run("pull", ["--quiet", ...this.#policy, `docker-archive:${archive}`]);
  }

  /** Removes all images of a repository but one, and what no named image needs. */
  async keepOnly(image: string): Promise<void> {
    const repository = image.slice(0, image.lastIndexOf(":"));
    const names = (await this.#run("images", ["--format", "{{.Name}}:{{.Tag}}"])).split("\n");
    const old = names.filter((name) => name.startsWith(`${repository}:`) && name !== image);
    if (old.length > 0) await this.#run("rmi", ["--force", ...old]);
    await this.#run("rmi", ["--prune", "--force"]);
  }

  async #run(name: string, args: string[]): Promise<string> {
    return (await command("buildah", [...this.#global, name, ...args])).trim();
  }

  #succeeds(name: string, args: string[]): Promise<boolean> {
    return succeeds("buildah", [...this.#global, name, ...args]);
  }
}

function pairs(option: string, record: Record<string, string>): string[] {
  return Object.entries(record).flatMap(([name, value]) => [option, `${name}=${value}`]);
}
