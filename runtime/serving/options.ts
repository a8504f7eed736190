/** What `serve` is told: a run in a pod; manifests, or folders and flags, on a laptop. */
import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ServingRuntime } from "../../crds/common.ts";
import { shortHash } from "../../crds/contract/canonical.ts";
import { ServingRun, servingRun } from "../../crds/contract/run.ts";
import { ENV, PATHS, PORTS } from "../../crds/contract/names.ts";
import { fieldErrors } from "../../crds/kinds.ts";
import { durationSeconds } from "../../crds/schema.ts";
import { DEFAULT_LOGGING, DEFAULT_QUEUE } from "../../crds/serving.ts";
import { readManifests } from "../cli/manifests.ts";
import { modelOf } from "../cli/model-source.ts";
import { Failure, systemCode } from "../failure.ts";
import { resolveInput } from "../store/uri.ts";
import type { AccessLevel } from "./access-log.ts";
import { type ModelSource, ONLY_VERSION, type VersionLabel, labelled, modelAt, modelsIn } from "./model-source.ts";
import { modelFolder } from "./single-file.ts";

export interface ServeOptions {
  /** What all of it is called in progress and logs: the revision and URI of the only model, or the folder of many. */
  readonly revision: string;
  readonly uri: string;
  /** Looks at what there is to serve. Throws Failure InputMissing. */
  readonly models: () => Promise<readonly ModelSource[]>;
  /** Clients may load and unload models. */
  readonly repositoryControl: boolean;
  readonly threads?: number | undefined;
  /** How long a request may take that names no deadline of its own; absent: the servers' default. */
  readonly timeoutMilliseconds?: number | undefined;
  /** Which requests are logged. */
  readonly access: AccessLevel;
  readonly port: number;
  readonly grpcPort: number;
  readonly managementPort: number;
  /** Absent: all addresses. */
  readonly host?: string | undefined;
  readonly drainMilliseconds: number;
  /** Where a failure is left; absent: where Kubernetes looks, if that is there. */
  readonly messageFile?: string | undefined;
  /** File with what to divert to another version; absent: nothing is. */
  readonly trafficFile?: string | undefined;
}

const USAGE =
  "usage: modelwright serve [DIR] [--name NAME] [--model NAME=URI]… [--label MODEL:LABEL=VERSION]… [--engine Auto|TensorFlow|OnnxRuntime|Wasm] [--access-log None|Errors|All] [--repository-control] [--allow-saved-model] | --job FILE | " +
  "-f MANIFEST…; [--volumes DIR] [--port 8080] [--grpc-port 9000] [--management-port 9090] [--host ADDRESS] [--drain-delay SECONDS] " +
  "[--termination-message FILE] [--traffic FILE]";

const FLAGS = {
  job: { type: "string" },
  file: { type: "string", short: "f", multiple: true },
  volumes: { type: "string" },
  name: { type: "string" },
  model: { type: "string", multiple: true },
  "repository-control": { type: "boolean" },
  "allow-saved-model": { type: "boolean" },
  engine: { type: "string" },
  "access-log": { type: "string" },
  label: { type: "string", multiple: true },
  port: { type: "string" },
  "grpc-port": { type: "string" },
  "management-port": { type: "string" },
  host: { type: "string" },
  "drain-delay": { type: "string" },
  "termination-message": { type: "string" },
  traffic: { type: "string" },
} as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: true, strict: true });
  } catch (cause) {
    throw new Failure("InvalidSpec", `${cause instanceof Error ? cause.message : String(cause)}; ${USAGE}`, { cause });
  }
}

/** Throws Failure: InvalidSpec for flags and job files, InputMissing for the model. */
export async function readServeOptions(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<ServeOptions> {
  const { values, positionals } = parse(argv);
  const [dir, ...more] = positionals;
  const named = values.model ?? [];
  const ways = [dir ?? named[0], values.job, values.file].filter((way) => way !== undefined);
  if (ways.length !== 1 || more.length > 0) {
    throw new Failure("InvalidSpec", `give one folder or --model, or --job, or -f; ${USAGE}`);
  }
  const volumes = values.volumes ?? env[ENV.volumes] ?? PATHS.volumes;
  const threads = number("environment variable " + ENV.threads, env[ENV.threads], undefined, 1, 1024);
  const common = {
    port: number("--port", values.port, PORTS.http, 0, 65535) ?? PORTS.http,
    grpcPort: number("--grpc-port", values["grpc-port"], PORTS.grpc, 0, 65535) ?? PORTS.grpc,
    managementPort:
      number("--management-port", values["management-port"], PORTS.management, 0, 65535) ?? PORTS.management,
    host: values.host,
    drainMilliseconds: (number("--drain-delay", values["drain-delay"], 5, 0, 300) ?? 5) * 1000,
    threads,
    messageFile: values["termination-message"],
    trafficFile: values.traffic,
  };
  if (values.job === undefined && values.file === undefined) {
    return {
      ...common,
      ...fromFolders({
        dir,
        name: values.name,
        named,
        labels: (values.label ?? []).map(labelOf),
        compute: computeOf(values.engine, values["allow-saved-model"]),
        volumes,
      }),
      access: accessOf(values["access-log"]),
      repositoryControl: values["repository-control"] ?? false,
    };
  }
  const { name, engine, label, "repository-control": control, "access-log": access } = values;
  if ([name, engine, label, control, access, values["allow-saved-model"]].some((flag) => flag !== undefined)) {
    throw new Failure(
      "InvalidSpec",
      `--name, --engine, --label, --access-log, --repository-control and --allow-saved-model belong to folders; else the file says them; ${USAGE}`,
    );
  }
  const run = values.job === undefined ? await runOf(values.file ?? [], volumes) : await readRun(values.job);
  return { ...common, ...fromRun(run, volumes), repositoryControl: false };
}

function fromRun({ name, revision, compute, model, settings }: ServingRun, volumes: string) {
  const { uri, digest } = model;
  const models = async (): Promise<ModelSource[]> => {
    const dir = await modelFolder(await resolveInput(uri, volumes, model));
    const version = { version: ONLY_VERSION, revision, uri, digest, dir };
    return [{ name, versions: [version], labels: {}, compute, settings }];
  };
  const timeoutMilliseconds = durationSeconds((settings?.queue ?? DEFAULT_QUEUE).timeout) * 1000;
  return { revision, uri, models, timeoutMilliseconds, access: (settings?.logging ?? DEFAULT_LOGGING).access };
}

/** The run that a ModelDeployment asks for; `model.from` is found by the job's manifest among the others. */
async function runOf(files: readonly string[], volumes: string): Promise<ServingRun> {
  const manifests = await readManifests(files);
  const [deployment, ...others] = manifests.filter((manifest) => manifest.kind === "ModelDeployment");
  if (deployment === undefined || others.length > 0) {
    throw new Failure("InvalidSpec", `serve takes exactly one manifest of kind ModelDeployment; ${USAGE}`);
  }
  const model = await modelOf(deployment.spec.model, manifests, volumes);
  return servingRun(deployment, `${deployment.metadata.name}-${shortHash(model)}`, model);
}

async function readRun(file: string): Promise<ServingRun> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    const why = cause instanceof SyntaxError ? "is no JSON" : `cannot be read (${systemCode(cause) ?? "unknown"})`;
    throw new Failure("InvalidSpec", `${file} ${why}; it must hold a ServingRun`, { cause });
  }
  const parsed = ServingRun.safeParse(json);
  if (parsed.success) return parsed.data;
  const [first] = fieldErrors(parsed.error);
  throw new Failure("InvalidSpec", `${file}: ${first?.field ?? ""}: ${first?.message ?? "is no ServingRun"}`);
}

function computeOf(engine = "Auto", allowSavedModel: boolean | undefined): ServingRun["compute"] {
  const chosen = oneOf("--engine", engine, ServingRuntime.shape.engine.unwrap().options);
  return { engine: chosen, ...(allowSavedModel === undefined ? {} : { allowSavedModel }) };
}

function accessOf(access: string = DEFAULT_LOGGING.access): AccessLevel {
  return oneOf("--access-log", access, ["None", "Errors", "All"]);
}

function oneOf<T extends string>(flag: string, value: string, options: readonly T[]): T {
  const chosen = options.find((one) => one === value);
  if (chosen === undefined) throw new Failure("InvalidSpec", `${flag}: ${value} is none of ${options.join(", ")}`);
  return chosen;
}

interface Folders {
  readonly dir: string | undefined;
  readonly name: string | undefined;
  /** Each of the form NAME=URI. */
  readonly named: readonly string[];
  readonly labels: readonly VersionLabel[];
  readonly compute: ServingRun["compute"];
  readonly volumes: string;
}

function fromFolders({ dir: folder, name, named, labels, compute, volumes }: Folders) {
  const dir = folder === undefined ? undefined : resolve(folder);
  const targets = named.map(nameAndUri);
  const models = async () => {
    const found = dir === undefined ? [] : await modelsIn(await modelFolder(dir), compute, name);
    const more = await Promise.all(
      targets.map(async ([name, uri]) => modelAt(name, await locate(uri, volumes), compute, uri)),
    );
    const all = [...found, ...more];
    const twice = all.find((model, index) => all.findIndex(({ name }) => name === model.name) !== index);
    if (twice !== undefined) {
      throw new Failure(
        "InvalidSpec",
        `there are two models called ${twice.name}; give one another name with --model NAME=URI`,
      );
    }
    return labelled(all, labels);
  };
  const uri = dir ?? targets.map(([, uri]) => uri).join();
  return { revision: (name ?? basename(uri)).slice(0, 63), uri, models };
}

function labelOf(text: string): VersionLabel {
  const [, model, label, version] = /^([^:=]+):([^:=/]+)=(\d+)$/.exec(text) ?? [];
  if (model === undefined || label === undefined || version === undefined) {
    throw new Failure("InvalidSpec", `--label: ${text} is not of the form MODEL:LABEL=VERSION; ${USAGE}`);
  }
  return { model, label, version };
}

function nameAndUri(text: string): [name: string, uri: string] {
  const [, name, uri] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || uri === undefined) {
    throw new Failure("InvalidSpec", `--model: ${text} is not of the form NAME=URI; ${USAGE}`);
  }
  return [name, uri];
}

/** A URI, or a path of this machine. */
async function locate(uri: string, volumes: string): Promise<string> {
  return modelFolder(uri.includes("://") ? await resolveInput(uri, volumes) : resolve(uri));
}

function number(
  what: string,
  text: string | undefined,
  fallback: number | undefined,
  min: number,
  max: number,
): number | undefined {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value < min || value > max) {
    throw new Failure("InvalidSpec", `${what}: ${text} is no number from ${min} to ${max}`);
  }
  return value;
}
