/** Servers beside the cluster that tests need: an object store and a registry, built from pinned Go modules, each by itself. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildProgram, ensureGo } from "./build.ts";
import { type Program, startDaemon, stopDaemon } from "./daemon.ts";
import { cacheFolder } from "./places.ts";
import { freePorts } from "./ports.ts";
import { until } from "./wait.ts";

interface Source {
  name: string;
  /** Folder in `servers/`. */
  module: string;
  package: string;
}

const VERSITYGW: Source = { name: "versitygw", module: "s3", package: "github.com/versity/versitygw/cmd/versitygw" };
const REGISTRY: Source = {
  name: "registry",
  module: "registry",
  package: "github.com/distribution/distribution/v3/cmd/registry",
};

/** The program, from the cache; what is not there is built (about a minute). A change of one module builds that one only. */
async function programOf(source: Source): Promise<string> {
  const module = join(import.meta.dirname, "servers", source.module);
  const files = await Promise.all(["go.mod", "go.sum"].map((file) => readFile(join(module, file))));
  const hash = createHash("sha256").update(JSON.stringify([process.arch, source]));
  for (const file of files) hash.update(file);
  const folder = join(cacheFolder(process.env), "servers", hash.digest("hex").slice(0, 12));
  const path = join(folder, source.name);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  await ensureGo(module, console.log);
  await buildProgram({ program: source, version: "", module, folder });
  return path;
}

export interface Server {
  /** Base URL. */
  url: string;
  stop(): Promise<void>;
}

/** Starts a program that answers at `port`, in a folder of its own. */
async function start(name: string, prepare: (state: string, port: number) => Promise<Program>): Promise<Server> {
  const state = await mkdtemp(join(tmpdir(), `modelwright-${name}-`));
  await mkdir(join(state, "log"));
  const [port = 0] = await freePorts(1);
  const daemon = { state, name };
  await startDaemon(daemon, { attached: true, ...(await prepare(state, port)) });
  const url = `http://127.0.0.1:${port}`;
  const answers = () =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await until(`${name} answers`, answers, { within: 30_000, every: 20 });
  return {
    url,
    async stop() {
      await stopDaemon(daemon);
      await rm(state, { recursive: true, force: true });
    },
  };
}

export interface S3Server extends Server {
  accessKeyId: string;
  secretAccessKey: string;
}

/** An object store that speaks S3, over a folder. */
export async function startS3(): Promise<S3Server> {
  const keys = { accessKeyId: "tester", secretAccessKey: "tester-secret-0123456789" };
  const path = await programOf(VERSITYGW);
  const server = await start("s3", async (state, port) => {
    await mkdir(join(state, "objects"));
    return {
      path,
      args: ["--port", `127.0.0.1:${port}`, "--quiet", "posix", join(state, "objects")],
      // In the environment, as command lines can be seen by all.
      env: { ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey },
    };
  });
  return { ...server, ...keys };
}

/** bcrypt of `tester-secret`: the registry reads nothing else. */
const HTPASSWD = "tester:$2b$05$hcmAzryJDfmISBt.NppDcupgdmqKt0moQOKg/M26iwC0gCrggBSOu\n";

export interface RegistryServer extends Server {
  username: string;
  password: string;
}

/** An OCI registry that asks for a user name and password. */
export async function startRegistry(): Promise<RegistryServer> {
  const path = await programOf(REGISTRY);
  const server = await start("registry", async (state, port) => {
    const config = {
      version: 0.1,
      log: { level: "warn", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(state, "data") }, delete: { enabled: true } },
      http: { addr: `127.0.0.1:${port}` },
      auth: { htpasswd: { realm: "tests", path: join(state, "htpasswd") } },
    };
    await writeFile(join(state, "htpasswd"), HTPASSWD);
    await writeFile(join(state, "registry.yml"), JSON.stringify(config));
    return { path, args: ["serve", join(state, "registry.yml")], env: { OTEL_TRACES_EXPORTER: "none" } };
  });
  return { ...server, username: "tester", password: "tester-secret" };
}
