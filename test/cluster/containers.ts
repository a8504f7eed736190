import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";
import { startDaemon, stopDaemon } from "./daemon.ts";
import { packProgram } from "./image.ts";
import { until } from "./wait.ts";

/** The image that holds a pod's namespaces: of our own program, or the published one, pulled, where that is not at hand. */
const pauseImage = { own: "localhost/pause:1", published: "registry.k8s.io/pause:3.10.1" };

/** The container engine of the node: containerd with its images and containers in the cluster's state folder. */
export class Containers {
  readonly #bin: string;
  readonly #state: string;

  constructor({ bin, state }: { bin: string; state: string }) {
    this.#bin = bin;
    this.#state = state;
  }

  async start(): Promise<void> {
    const config = join(this.#state, "config", "containerd.toml");
    await writeFile(config, this.#config());
    await startDaemon(this.#daemon, {
      path: join(this.#bin, "containerd"),
      args: ["--config", config],
      env: { PATH: `${this.#bin}:${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}` }, // it looks up its shim there
    });
    await until("containerd answers", () => this.answers(), { within: 30_000 });
    await this.#importPause();
  }

  async #importPause(): Promise<void> {
    const program = join(this.#bin, "pause");
    if (!existsSync(program) || (await this.has(pauseImage.own))) return;
    const out = join(this.#state, "pause.tar");
    await packProgram({ program, name: pauseImage.own, out });
    await this.import(out, pauseImage.own);
  }

  async stop(): Promise<void> {
    await stopDaemon(this.#daemon, 5000);
  }

  async answers(): Promise<boolean> {
    return this.ctr("version").then(
      () => true,
      () => false,
    );
  }

  /** Imports an image archive (OCI or Docker) under these names, and waits until the kubelet can see them. */
  async import(tar: string, ...names: string[]): Promise<void> {
    // an archive may carry names of its own, which go when the index that they were imported with goes: ours are tagged before
    const index = `localhost/import/${crypto.randomUUID()}:1`;
    await this.ctr("images", "import", "--index-name", index, tar);
    for (const name of names) await this.ctr("images", "tag", "--force", index, name);
    await this.ctr("images", "delete", index);
    for (const name of names) await until(`the node knows ${name}`, () => this.has(name), { within: 120_000 });
  }

  async has(name: string): Promise<boolean> {
    const list = await this.ctr("images", "list", `name==${name}`);
    return list
      .split("\n")
      .some((line) => line.startsWith(`${name} `) && line.includes("io.cri-containerd.image=managed"));
  }

  /** Ends and removes all containers; returns the network namespaces that their pods had. */
  async removeAll(): Promise<string[]> {
    const lines = async (...args: string[]): Promise<string[]> =>
      (await this.ctr(...args)).split("\n").filter((line) => line !== "");
    const containers = await lines("containers", "list", "--quiet");
    const networks = new Set<string>();
    for (const id of containers) {
      const path = networkNamespace(await this.ctr("containers", "info", id));
      if (path !== undefined) networks.add(path);
    }
    for (const id of await lines("tasks", "list", "--quiet"))
      await this.ctr("tasks", "delete", "--force", id).catch(() => "");
    for (const id of containers) await this.ctr("containers", "delete", id).catch(() => "");
    return [...networks];
  }

  ctr(...args: string[]): Promise<string> {
    return command(join(this.#bin, "ctr"), ["--address", this.socket, "--namespace", "k8s.io", ...args]);
  }

  get socket(): string {
    return join(this.#state, "containerd.sock");
  }

  get #daemon() {
    return { state: this.#state, name: "containerd" };
  }

  #config(): string {
    return `version = 3
root = "${this.#state}/containerd/root"
state = "${this.#state}/containerd/state"

[grpc]
  address = "${this.socket}"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${existsSync(join(this.#bin, "pause")) ? pauseImage.own : pauseImage.published}"

[plugins."io.containerd.cri.v1.images".registry]
  config_path = "${this.#state}/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
  # where the machine forbids a lower oom_score_adj, no sandbox would start without this
  restrict_oom_score_adj = true
  ignore_deprecation_warnings = ["io.containerd.deprecation/cgroup-v1"]

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
  conf_dir = "${this.#state}/cni"

[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
`;
  }
}

function networkNamespace(info: string): string | undefined {
  type Info = { Spec?: { linux?: { namespaces?: { type: string; path?: string }[] } } };
  const { Spec } = JSON.parse(info) as Info;
  return Spec?.linux?.namespaces?.find(({ type }) => type === "network")?.path;
}
