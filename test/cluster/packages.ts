import { command, CommandError, succeeds } from "./command.ts";

/** Debian packages are missing and could not be installed. */
export class PackagesMissing extends Error {
  override readonly name = "PackagesMissing";
  readonly code = "PackagesMissing";
  readonly packages: string[];
  readonly why: string;
  readonly remedy: string;

  constructor(packages: string[], purpose: string, obstacle: string, cause?: unknown) {
    const why = `the Debian packages ${packages.join(", ")} are needed ${purpose} and ${obstacle}`;
    const remedy = `Run as root: apt-get install --no-install-recommends ${packages.join(" ")}`;
    super(`${why}. ${remedy}.`, cause === undefined ? {} : { cause });
    this.packages = packages;
    this.why = why;
    this.remedy = remedy;
  }
}

export type PackageOptions = { log?: (line: string) => void };

/**
 * Installs the Debian packages that are missing, and says so. `purpose` ends the sentence "they are needed …".
 * Throws PackagesMissing where that is not possible (no apt-get, not root, no such package).
 */
export async function ensurePackages(
  names: string[],
  purpose: string,
  { log = console.log }: PackageOptions = {},
): Promise<void> {
  const missing = await missingPackages(names);
  if (missing.length === 0) return;
  if (!(await succeeds("apt-get", ["--version"])))
    throw new PackagesMissing(missing, purpose, "there is no apt-get here");
  if (process.getuid?.() !== 0) throw new PackagesMissing(missing, purpose, "only root can install them");
  log(`Installing Debian packages ${purpose}: ${missing.join(" ")}`);
  try {
    await install(missing).catch(async () => {
      await apt(["update"]); // the lists may be missing or old
      await install(missing);
    });
  } catch (error) {
    throw new PackagesMissing(missing, purpose, "apt-get could not install them", error);
  }
}

/** Those of the packages that are not fully installed. */
export async function missingPackages(names: string[]): Promise<string[]> {
  const installed = await command("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\n", ...names]).catch(
    (error: unknown) => {
      if (error instanceof CommandError) return error.output; // it lists those that it knows, and fails for the others
      throw error;
    },
  );
  const lines = new Set(installed.split("\n"));
  return names.filter((name) => !lines.has(`${name} installed`));
}

/** The version of a package that apt-get would install now. */
export async function availableVersion(name: string): Promise<string | undefined> {
  const policy = await command("apt-cache", ["policy", name]).catch(() => "");
  return /Candidate: (?:\d+:)?(\d\S*)/.exec(policy)?.[1];
}

const install = (names: string[]): Promise<string> => apt(["install", "--yes", "--no-install-recommends", ...names]);

function apt(args: string[]): Promise<string> {
  return command("apt-get", ["-o", "DPkg::Lock::Timeout=300", "-qq", ...args], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}
