/** `modelwright serve`: loads a model and answers predictions until it is told to stop. */
import { EXIT } from "../../crds/contract/exit-code.ts";
import { ENV } from "../../crds/contract/names.ts";
import type { ServingProgress } from "../../crds/contract/progress.ts";
import { Failure, asFailure, systemCode } from "../failure.ts";
import { writeTerminationMessage } from "../cli/termination-message.ts";
import { processRegistry, startManagement } from "../management/server.ts";
import { openArtefact } from "../store/artefact.ts";
import { systemClock } from "./clock.ts";
import { EngineProcess } from "./engine-process.ts";
import { InferenceServer } from "./inference-server.ts";
import { type Log, createLog, errorFields } from "./log.ts";
import { type ServeOptions, readServeOptions } from "./options.ts";
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
  #model: ServedModel | undefined;
  #closed = false;

  constructor(log: Log) {
    this.#log = log;
  }

  async run(options: ServeOptions): Promise<void> {
    const { uri, revision } = options;
    this.#progress = { ...this.#progress, revision, model: { uri } };
    const stop = stopSignal();
    this.#log.info("starting", { name: options.name, uri, engine: options.compute.engine });
    this.#atClose(() => Promise.resolve(stop.release()));
    const traffic = new PodTraffic({ revision, file: options.trafficFile, clock: systemClock, log: this.#log });
    this.#atClose(() => traffic.close());
    const management = await startManagement({
      port: options.managementPort,
      ...(options.host === undefined ? {} : { host: options.host }),
      progress: () => this.#model?.progress() ?? this.#progress,
      live: () => this.#model?.live ?? true,
      ready: () => this.#model?.ready ?? false,
      load: () => (this.#model === undefined ? {} : this.#metrics.load(this.#model)),
      traffic: () => traffic.splitter.report(),
      registry: this.#registry,
    }).catch(portTaken("--management-port", options.managementPort));
    this.#atClose(() => management.close());

    const started = await Promise.race([this.#start(options, traffic), stop.signalled]);
    if (typeof started === "string") {
      this.#log.info("stopped before the model was loaded", { signal: started });
      return;
    }
    const { model, server, port } = started;
    this.#log.info("serving", {
      name: model.name,
      port,
      managementPort: management.port,
      enginePid: model.enginePid,
      ...(model.loaded?.why === undefined ? {} : { why: model.loaded.why }),
      ...model.progress(),
    });
    const signal = await Promise.race([stop.signalled, model.failed]);
    await this.#drain(model, server, signal === "SIGTERM" ? options.drainMilliseconds : 0);
  }

  /** What is reported of a run that failed. */
  failed(failure: Failure): ServingProgress {
    const { reason, exitCode } = failure;
    const message = failure.message.slice(0, MESSAGE_LIMIT);
    const progress = this.#model?.progress() ?? this.#progress;
    return { ...progress, state: "Failed", failure: { reason, message, exitCode } };
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
    const { name, revision, uri, dir, compute, threads } = options;
    const artefact = await openArtefact(dir, { digest: options.digest, shownAs: uri });
    const model = new ServedModel({
      name,
      revision,
      uri,
      digest: artefact.digest,
      model: { dir, shownAs: uri, engine: compute.engine, gpu: compute.gpu, threads },
      startEngine: () => new EngineProcess(),
      clock: systemClock,
      observer: this.#metrics,
      onRestart: (failure, attempt) => {
        this.#metrics.restarted();
        this.#log.warn("the engine is started again", { attempt, reason: failure.reason, ...errorFields(failure) });
      },
    });
    this.#model = model;
    this.#metrics.watch(model, this.#registry);
    this.#atClose(() => model.close());
    const server = new InferenceServer({
      model,
      identity: { version: await programVersion() },
      metrics: this.#metrics,
      clock: systemClock,
      traffic: traffic.http,
      onError: (error, call) => this.#log.error("a request failed", { call, ...errorFields(error) }),
    });
    const port = await server.listen(options.port, options.host).catch(portTaken("--port", options.port));
    this.#atClose(() => server.stop(0));
    await model.start();
    return { model, server, port };
  }

  /** Not ready at once; still answering until clients and proxies have seen that; then finishing what is left. */
  async #drain(model: ServedModel, server: InferenceServer, milliseconds: number): Promise<void> {
    this.#log.info("draining", { milliseconds });
    model.drain();
    server.drain();
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    await server.stop(FINISH_MILLISECONDS);
    this.#log.info("stopped", this.#metrics.load(model));
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
