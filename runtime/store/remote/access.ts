/** What this process knows of credentials and authorities: files that the kubelet has mounted. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CA_FILE, ENV, PATHS } from "../../../crds/contract/names.ts";
import type { Access } from "../../../crds/location.ts";
import { Failure, systemCode } from "../../failure.ts";
import type { Reach } from "./addresses.ts";

/** Reads one key of the Secret that `access` names; undefined when it names none, or the Secret has no such key. */
export async function credential({ credentials }: Access, key: string): Promise<string | undefined> {
  if (credentials === undefined) return undefined;
  const folder = process.env[ENV.credentials] || PATHS.credentials;
  try {
    return (await readFile(join(folder, credentials.secretName, key), "utf8")).trim();
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw new Failure(
      "AccessDenied",
      `Secret ${credentials.secretName} cannot be read here (${systemCode(error) ?? "unknown"}); check the pod's volumes`,
      { cause: error },
    );
  }
}

/** Certificates of the authorities that `access` names, as PEM. */
export async function authorities({ caBundle }: Access): Promise<string | undefined> {
  if (caBundle === undefined) return undefined;
  const folder = process.env[ENV.caBundles] || PATHS.caBundles;
  const path = join(folder, caBundle.configMapName, CA_FILE);
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw new Failure("InputMissing", `ConfigMap ${caBundle.configMapName} has no key ${CA_FILE}; add it`, { cause });
  });
}

function allowedHosts(): string[] {
  return (process.env[ENV.allowedHosts] ?? "").split(",").filter((host) => host !== "");
}

/** What a service that a manifest names may be. */
export const serviceReach = (): Reach => ({ to: "Service", allowedHosts: allowedHosts() });

/** What a web server may be. */
export const publicReach = (): Reach => ({ to: "Public", allowedHosts: allowedHosts() });
