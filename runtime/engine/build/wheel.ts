/** The wheel on PyPI that TensorFlow's libraries are taken from, pinned by checksum. */
import { WHEELS } from "./wheels.ts";

export type Variant = "cpu" | "gpu";

export interface Wheel {
  distribution: string;
  version: string;
  /** Platform tag of the wheel. */
  platform: string;
  sha256: string;
}

/** The wheel for this machine; undefined where there is none (macOS, other processors). */
export function wheelFor(variant: Variant, platform: string, architecture: string): Wheel | undefined {
  if (platform !== "linux") return undefined;
  const byArchitecture: Record<string, Wheel | undefined> = WHEELS[variant];
  return byArchitecture[architecture];
}

/** Name of its unpacked libraries in the cache. */
export function cacheKey(variant: Variant, architecture: string, wheel: Wheel): string {
  return `${variant}-${architecture}-${wheel.version}-${wheel.sha256.slice(0, 8)}`;
}

/** What pip is told, so that nothing but the pinned file is accepted. */
export function requirement(wheel: Wheel): string {
  return `${wheel.distribution}==${wheel.version} --hash=sha256:${wheel.sha256}\n`;
}

/** Arguments of `python3 -m pip`. The Python tag does not matter: only the libraries are used. */
export function downloadArguments(wheel: Wheel, requirements: string, folder: string): string[] {
  const only = ["--no-deps", "--only-binary=:all:", "--require-hashes"];
  const tags = ["--implementation", "cp", "--python-version", "3.11", "--abi", "cp311", "--platform", wheel.platform];
  return ["download", "--quiet", "--disable-pip-version-check", ...only, ...tags, "--dest", folder, "-r", requirements];
}
