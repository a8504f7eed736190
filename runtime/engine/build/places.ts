/** Where the native step reads and writes. */
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Folder of an installed npm package. */
export function packageFolder(name: string): string {
  return dirname(require.resolve(`${name}/package.json`));
}

/** The folder for downloaded and built things. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  if (env["MODELWRIGHT_CACHE"]) return env["MODELWRIGHT_CACHE"];
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "modelwright");
}
