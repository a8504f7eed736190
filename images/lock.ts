/** The part of package-lock.json (version 3) that is read here. */
export type LockedPackage = {
  version?: string;
  integrity?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  os?: string[];
  cpu?: string[];
  libc?: string[];
};

/** What an image runs on. */
export interface Platform {
  os: string;
  cpu: string;
  libc: string;
}

export type Lock = { packages: Record<string, LockedPackage> };

/** A package that must be installed and is not in the lock file. */
export class NotLocked extends Error {
  override readonly name = "NotLocked";
  readonly code = "NotLocked";

  constructor(name: string, from: string) {
    super(`${from || "The image"} needs the package ${name}, which package-lock.json does not hold. Run npm install.`);
  }
}

/**
 * The packages that `roots` need at run time, themselves included: their paths (`node_modules/a/node_modules/b`), sorted.
 * `wanted` leaves out packages by name. Optional dependencies count where the lock file has them for `platform`.
 */
export function closure(
  lock: Lock,
  roots: string[],
  wanted: (name: string) => boolean = () => true,
  platform?: Platform,
): string[] {
  const found = new Set<string>();
  const open = roots.map((name) => ({ name, from: "", optional: false }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { name, from, optional } = next;
    if (!wanted(name)) continue;
    const path = resolve(lock, name, from);
    if (path === undefined) {
      if (optional) continue;
      throw new NotLocked(name, packageName(from));
    }
    if (found.has(path) || (optional && !runsOn(lock.packages[path], platform))) continue;
    found.add(path);
    const { dependencies = {}, optionalDependencies = {} } = lock.packages[path] ?? {};
    open.push(
      ...Object.keys(dependencies).map((name) => ({ name, from: path, optional: name in optionalDependencies })),
      ...Object.keys(optionalDependencies).map((name) => ({ name, from: path, optional: true })),
    );
  }
  return [...found].toSorted();
}

const fits = (names: readonly string[] | undefined, name: string) => names === undefined || names.includes(name);

function runsOn({ os, cpu, libc }: LockedPackage = {}, platform: Platform | undefined): boolean {
  if (platform === undefined) return true;
  return fits(os, platform.os) && fits(cpu, platform.cpu) && fits(libc, platform.libc);
}

/** Node's own search: beside the package that asks, then upwards. */
function resolve(lock: Lock, name: string, from: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    const path = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (path in lock.packages) return path;
    if (folder === "") return undefined;
  }
}

/** `node_modules/a/node_modules/@b/c` is the package `@b/c`. */
export function packageName(path: string): string {
  return path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
}
