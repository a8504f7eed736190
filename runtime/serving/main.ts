/** `modelwright serve`: loads a model and answers predictions until it is told to stop. */
import { EXIT } from "../../crds/contract/exit-code.ts";
import { ENV } from "../../crds/contract/names.ts";
import type { ServingProgress } from "../../crds/contract/progress.ts";
import { Failure, asFailure, systemCode } from "../failure.ts";
import { writeTerminationMessage } from "../cli/termination-message.ts";
import { processRegistry, startManagement } from "../management/server.ts";
import { openArtefact } from "../store/artefact.ts";
import { AccessLog } from "./access-log.ts";
import { systemClock } from "./clock.ts";
import { EngineProcess } from "./engine-process.ts";
import { GrpcServer } from "./grpc/grpc-server.ts";
import { InferenceServer } from "./inference-server.ts";
import { type Log, createLog, errorFields } from "./log.ts";
import { ModelRepository } from "./model-repository.ts";
import type { ModelSource, VersionSource } from "./model-source.ts";
import { type ServeOptions, readServeOptions } from "./options.ts";
import { RecyclingEngine } from "./recycling-engine.ts";
import { ServedModel } from "./served-model.ts";
import { ServingMetrics } from "./serving-metrics.ts";
import { PodTraffic } from "./traffic/pod-traffic.ts";
import { programVersion } from "./version.ts";

/** Requests that are being answered when the port is closed get this long. */
const FINISH_MILLISECONDS = 30_000;
const MESSAGE_LIMIT = 1024;

/** Runs the server until SIGTERM or SIGINT; returns the exit code. A failure is logged and left as termination message. */
export async function serve(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const log = createLog(env[ENV.logLevel] ?? "info");
  const serving = new Serving(log);
  let messageFile: string | undefined;
  try {
    const options = await readServeOptions(argv, env);
    messageFile = options.messageFile;
    await serving.run(options);
    return EXIT.done;
  } catch (error) {
    const failure = asFailure(error);
    log.error("serving failed", { reason: failure.reason, exitCode: failure.exitCode, ...errorFields(failure) });
    await writeTerminationMessage(serving.failed(failure), messageFile).catch((error: unknown) =>
      log.warn("the termination message cannot be written", errorFields(error)),
    );
    return failure.exitCode;
  } finally {
    await serving.close();
  }
}

/** The parts of a running server, from the first sign of life to the last. */
class Serving {
  readonly #log: Log;
  readonly #registry = processRegistry();
  readonly #metrics = new ServingMetrics(this.#registry);
  readonly #cleanups: (() => Promise<void>)[] = [];
  #progress: ServingProgress = { kind: "ServingProgress", revision: "", state: "Loading", model: { uri: "" } };
  #repository: ModelRepository | undefined;
  #closed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  async run(options: ServeOptions): Promise<void> {
    const { uri, revision } = options;
    this.#progress = { ...this.#progress, revision, model: { uri } };
    const stop = stopSignal();
    this.#log.info("starting", { uri });
    this.#atClose(() => Promise.resolve(stop.release()));
    const traffic = new PodTraffic({ revision, file: options.trafficFile, clock: systemClock, log: this.#log });
    this.#atClose(() => traffic.close());
    const management = await startManagement({
      port: options.managementPort,
      ...(options.host === undefined ? {} : { host: options.host }),
      progress: () => this.#currentProgress(),
      live: () => this.#repository?.live ?? true,
      ready: () => this.#repository?.ready ?? false,
      load: () => (this.#repository === undefined ? {} : this.#metrics.load(this.#repository)),
      traffic: () => traffic.splitter.report(),
      registry: this.#registry,
    }).catch(portTaken("--management-port", options.managementPort));
    this.#atClose(() => management.close());

    const started = await Promise.race([this.#start(options, traffic), stop.signalled]);
    if (typeof started === "string") {
      this.#log.info("stopped before the model was loaded", { signal: started });
      return;
    }
    const { repository, server, port, grpc, grpcPort } = started;
    this.#log.info("serving", { port, grpcPort, managementPort: management.port, ...this.#summary(repository) });
    const signal = await Promise.race([stop.signalled, repository.failed]);
    await this.#drain(repository, server, grpc, signal === "SIGTERM" ? options.drainMilliseconds : 0);
  }

  /** What is reported of a run that failed. */
  failed(failure: Failure): ServingProgress {
    const { reason, exitCode } = failure;
    const message = failure.message.slice(0, MESSAGE_LIMIT);
    return { ...this.#currentProgress(), state: "Failed", failure: { reason, message, exitCode } };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  /** What is opened while everything is being closed is closed at once. */
  #atClose(cleanup: () => Promise<void>): void {
    if (this.#closed) void cleanup();
    else this.#cleanups.push(cleanup);
  }

  async #start(options: ServeOptions, traffic: PodTraffic) {
    const repository = new ModelRepository({
      list: options.models,
      open: (model, version) => this.#open(model, version, options),
      onFailure: (name, version, failure) =>
        this.#log.error("a model is not served", { name, version, reason: failure.reason, ...errorFields(failure) }),
    });
    this.#repository = repository;
    this.#metrics.watch(repository, this.#registry);
    this.#atClose(() => repository.close());
    const accessLog = new AccessLog({
      level: options.access,
      clock: systemClock,
      write: (text) => void process.stderr.write(text),
    });
    this.#atClose(() => Promise.resolve(accessLog.flush()));
    const common = {
      accessLog,
      host: { repository, version: await programVersion(), repositoryControl: options.repositoryControl },
      metrics: this.#metrics,
      clock: systemClock,
      timeout: options.timeoutMilliseconds,
      onError: (error: unknown, call: string) => this.#log.error("a request failed", { call, ...errorFields(error) }),
    };
    const server = new InferenceServer({ ...common, traffic: traffic.http });
    const port = await server.listen(options.port, options.host).catch(portTaken("--port", options.port));
    this.#atClose(() => server.stop(0));
    const grpc = new GrpcServer({ ...common, traffic: traffic.grpc });
    const grpcPort = await grpc
      .listen(options.grpcPort, options.host)
      .catch(portTaken("--grpc-port", options.grpcPort));
    this.#atClose(() => grpc.stop(0));
    await repository.start();
    return { repository, server, port, grpc, grpcPort };
  }

  async #open(source: ModelSource, version: VersionSource, { threads }: ServeOptions): Promise<ServedModel> {
    const { name, compute, settings } = source;
    const { dir, uri, revision } = version;
    const artefact = await openArtefact(dir, { digest: version.digest, shownAs: uri });
    return new ServedModel({
      name,
      version: version.version,
      revision,
      uri,
      digest: artefact.digest,
      model: { dir, shownAs: uri, ...compute, threads },
      settings,
      startEngine: () =>
        new RecyclingEngine({
          start: () => new EngineProcess(),
          onRecycle: ({ grownBytes, failure }) =>
            this.#log.warn(
              failure === undefined
                ? "the engine keeps ever more memory and is replaced"
                : "the engine cannot be replaced",
              { name, version: version.version, grownBytes, ...(failure === undefined ? {} : errorFields(failure)) },
            ),
        }),
      clock: systemClock,
      observer: this.#metrics.batches(name, version.version),
      onRestart: (failure, attempt) => {
        this.#metrics.restarted(name, version.version);
        this.#log.warn("the engine is started again", {
          name,
          attempt,
          reason: failure.reason,
          ...errorFields(failure),
        });
      },
    });
  }

  /** Of the only model; of many, whether they serve. */
  #currentProgress(): ServingProgress {
    const models = this.#repository?.models() ?? [];
    const [only] = models;
    if (only !== undefined && models.length === 1) return only.progress();
    return this.#repository?.ready ? { ...this.#progress, state: "Serving" } : this.#progress;
  }

  #summary(repository: ModelRepository) {
    const [only, ...more] = repository.models();
    if (only === undefined || more.length > 0) return { models: repository.index() };
    const { name, enginePid } = only;
    return { name, enginePid, ...only.progress() };
  }

  /** Not ready at once; still answering until clients and proxies have seen that; then finishing what is left. */
  async #drain(
    repository: ModelRepository,
    server: InferenceServer,
    grpc: GrpcServer,
    milliseconds: number,
  ): Promise<void> {
    this.#log.info("draining", { milliseconds });
    repository.drain();
    server.drain();
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    await Promise.all([server.stop(FINISH_MILLISECONDS), grpc.stop(FINISH_MILLISECONDS)]);
    this.#log.info("stopped", this.#metrics.load(repository));
  }
}

function stopSignal() {
  const { promise: signalled, resolve } = Promise.withResolvers<NodeJS.Signals>();
  process.on("SIGTERM", resolve);
  process.on("SIGINT", resolve);
  return {
    signalled,
    release: () => {
      process.off("SIGTERM", resolve);
      process.off("SIGINT", resolve);
    },
  };
}

function portTaken(flag: string, port: number): (error: unknown) => never {
  return (error) => {
    if (systemCode(error) !== "EADDRINUSE" && systemCode(error) !== "EACCES") throw error;
    throw new Failure(
      "InvalidSpec",
      `port ${port} cannot be opened (${systemCode(error)}); choose another with ${flag}`,
      {
        cause: error,
      },
    );
  };
}
