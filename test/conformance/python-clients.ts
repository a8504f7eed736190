/** Clients that others wrote, from the Python Package Index: `node test/conformance/python-clients.ts` installs them. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { command } from "../cluster/command.ts";
import { cacheFolder } from "../cluster/places.ts";

const REQUIREMENTS = join(import.meta.dirname, "requirements.txt");

/** The clients are not there and could not be installed. */
export class ClientsMissing extends Error {
  override readonly name = "ClientsMissing";
  readonly code = "ClientsMissing";
}

async function folder(): Promise<string> {
  const digest = createHash("sha256")
    .update(await readFile(REQUIREMENTS))
    .digest("hex");
  return join(cacheFolder(process.env), `python-clients-${digest.slice(0, 16)}`);
}

/** The folder of the clients' packages, for PYTHONPATH; installs what is missing. Throws ClientsMissing. */
export async function ensureClients(log: (line: string) => void = console.log): Promise<string> {
  const home = await folder();
  if ((await stat(home).catch(() => undefined)) !== undefined) return home;
  log("Installing Python clients to try the protocols with");
  await mkdir(dirname(home), { recursive: true });
  const half = await mkdtemp(`${home}-`);
  try {
    const install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"];
    await command("python3", [...install, "--no-deps", "--only-binary", ":all:", "--target", half, "-r", REQUIREMENTS]);
    // Another process may have been faster.
    await rename(half, home).catch(async () => stat(home));
    return home;
  } catch (cause) {
    throw new ClientsMissing(
      `Python clients cannot be installed (${cause instanceof Error ? cause.message.slice(0, 400) : String(cause)}). ` +
        "They need python3 with pip and the Python Package Index; then run node test/conformance/python-clients.ts",
      { cause },
    );
  } finally {
    await rm(half, { recursive: true, force: true });
  }
}

/** What a Python program printed, which must be JSON. Rejects when it fails, with what it said. */
export async function runPython(program: string, args: readonly string[]): Promise<unknown> {
  const env = { ...process.env, PYTHONPATH: await ensureClients() };
  const output = await command("python3", [join(import.meta.dirname, program), ...args], { env });
  return JSON.parse(output.slice(output.lastIndexOf("\n{") + 1));
}

if (import.meta.main) console.log(await ensureClients());
