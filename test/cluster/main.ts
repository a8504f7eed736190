import { parseArgs } from "node:util";
import { addons, installAddon } from "./addons.ts";
import { down, status, up } from "./cluster.ts";
import type { ClusterStatus } from "./cluster.ts";
import { findPrograms } from "./programs.ts";
import { ClusterUnavailable } from "./unavailable.ts";

const usage = `A Kubernetes cluster of one real node on this machine.

  npm run cluster -- up [--bin DIR] [--kind]   brings it up, or what is missing of it
  npm run cluster -- down                      removes it with everything in it
  npm run cluster -- status                    its processes and its health
  npm run cluster -- kubeconfig                path of the administrator's kubeconfig
  npm run cluster -- env                       lines for a shell: KUBECONFIG, and kubectl and helm on the PATH
  npm run cluster -- build [--bin DIR]         only gets its programs
  npm run cluster -- addon NAME                installs ${addons.map(({ name }) => name).join(" or ")}

  --bin DIR     use the programs of this folder (also: MODELWRIGHT_CLUSTER_BIN)
  --state DIR   keep certificates, logs and volumes there (default /run/modelwright-cluster)
  --kind        make it with Docker and kind`;

/** Returns the exit code: 0 done, 1 not healthy, 64 wrong arguments, 69 no cluster can be here. */
async function main(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      bin: { type: "string" },
      state: { type: "string" },
      kind: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  const place = values.state === undefined ? {} : { state: values.state };
  const programs = values.bin === undefined ? {} : { bin: values.bin };
  const [action, ...rest] = positionals;
  if (values.help) return print(usage);
  if (action === "addon") return addon(rest, { ...place, ...programs });
  if (rest.length > 0) throw new TypeError(`unexpected ${rest.join(" ")}`);
  switch (action) {
    case "up": {
      const { kubeconfig, bin } = await up({ ...place, ...programs, kind: values.kind ?? false });
      return print(shellLines(kubeconfig, bin));
    }
    case "down":
      await down(place);
      return print("The cluster is gone");
    case "status":
      return report(await status(place));
    case "kubeconfig":
      return print((await status(place)).kubeconfig);
    case "env": {
      const { kubeconfig, bin = "" } = await status(place);
      return print(shellLines(kubeconfig, bin));
    }
    case "build":
      return print(await findPrograms(programs));
    case undefined:
      throw new TypeError("say what to do");
    default:
      throw new TypeError(`unknown command ${action}`);
  }
}

async function addon([name, ...rest]: string[], options: Parameters<typeof up>[0]): Promise<number> {
  if (name === undefined || rest.length > 0) throw new TypeError("name one add-on");
  await installAddon(await up(options), name, console.log);
  return 0;
}

function report({ healthy, problems, daemons, kubeconfig, bin }: ClusterStatus): number {
  const width = Math.max(0, ...daemons.map(({ name }) => name.length));
  for (const { name, pid } of daemons) console.log(`${name.padEnd(width)}  ${pid ?? "-"}`);
  console.log(healthy ? `healthy\nkubeconfig ${kubeconfig}\nprograms   ${bin}` : `not healthy: ${problems.join("; ")}`);
  return healthy ? 0 : 1;
}

const shellLines = (kubeconfig: string, bin: string): string =>
  `export KUBECONFIG=${kubeconfig}\nexport PATH=${bin}:$PATH`;

function print(text: string): number {
  console.log(text);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof TypeError) {
    console.error(`${error.message}\n\n${usage}`);
    process.exitCode = 64;
  } else {
    console.error(error instanceof ClusterUnavailable ? error.message : error);
    process.exitCode = error instanceof ClusterUnavailable ? 69 : 70;
  }
}
