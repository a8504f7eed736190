import { homedir } from "node:os";
import { join } from "node:path";

export type Environment = Record<string, string | undefined>;

/** The folder for downloaded and built things. */
export function cacheFolder(env: Environment): string {
  if (env["MODELWRIGHT_CACHE"]) return env["MODELWRIGHT_CACHE"];
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "modelwright");
}

/** The folder of a running cluster: certificates, configuration, logs, process ids, volumes. */
export const defaultState = "/run/modelwright-cluster";
