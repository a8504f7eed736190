#!/usr/bin/env node
/** The runtime: one program that trains, optimizes and serves. */
import { availableParallelism } from "node:os";
import { type EnergyModel, energyModel } from "../crds/contract/energy-model.ts";
import { EXIT } from "../crds/contract/exit-code.ts";
import { ENV, PATHS } from "../crds/contract/names.ts";
import { WORKER_INDEX_ENV } from "../crds/contract/workers.ts";
import type { Environment } from "./cli/environment.ts";
import { fetch } from "./cli/fetch.ts";
import { job } from "./cli/job.ts";
import { USAGE, UsageError, refuse } from "./cli/usage.ts";
import { validate } from "./cli/validate.ts";
import { asFailure } from "./failure.ts";

/** Threads as the pod's cpu limit gives them. */
function threadsOf(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  const threads = Number(text);
  if (Number.isInteger(threads) && threads >= 1) return Math.min(threads, availableParallelism());
  throw new UsageError(`${ENV.threads} must be a whole number from 1`);
}

function energyOf(text: string | undefined): EnergyModel {
  try {
    return energyModel(text ? text.split(",") : []);
  } catch (cause) {
    throw new UsageError(`${ENV.energy}: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

function workerOf(text: string | undefined): Environment["worker"] {
  if (text === undefined) return undefined;
  const index = Number(text);
  if (text !== "" && Number.isInteger(index) && index >= 0) return { index, keyFile: PATHS.workersKey };
  throw new UsageError(`${WORKER_INDEX_ENV} must be a whole number from 0`);
}

function environmentOf(env: NodeJS.ProcessEnv): Environment {
  return {
    volumes: env[ENV.volumes] || PATHS.volumes,
    threads: threadsOf(env[ENV.threads]),
    energy: energyOf(env[ENV.energy]),
    worker: workerOf(env[WORKER_INDEX_ENV]),
    out: (line) => console.log(line),
    err: (line) => console.error(line),
    terminal: process.stdout.isTTY,
    draw: (text) => void process.stdout.write(text),
  };
}

async function dispatch([command, ...argv]: string[], environment: Environment): Promise<number> {
  switch (command) {
    case "train":
    case "optimize":
      return job(command, argv, environment);
    case "validate":
      return validate(argv, environment);
    case "fetch":
      return fetch(argv, environment);
    case "serve": {
      const { serve } = await import("./serving/main.ts");
      return serve(argv);
    }
    case "help":
    case "--help":
    case "-h":
      environment.out(USAGE);
      return EXIT.done;
    default:
      throw new UsageError(command === undefined ? "which command?" : `there is no command ${command}`);
  }
}

async function main(): Promise<number> {
  const environment = environmentOf(process.env);
  try {
    return await dispatch(process.argv.slice(2), environment);
  } catch (error) {
    // parseArgs throws TypeErrors for options that it does not know.
    if (error instanceof UsageError || error instanceof TypeError) return refuse(error, environment);
    const failure = asFailure(error);
    environment.err(`modelwright: ${failure.reason}: ${failure.message}`);
    return failure.exitCode;
  }
}

process.exitCode = await main();
