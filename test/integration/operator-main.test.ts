import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { rootCertificates } from "node:tls";
import { fileURLToPath } from "node:url";
import { type ApiServer, startApiServer } from "../cluster/apiserver.ts";
import { writeKubeconfig } from "../cluster/kubeconfig.ts";
import { until } from "../cluster/wait.ts";
import { IMAGE, installCrds } from "./operator/bed.ts";
import { Space, trainingJob } from "./operator/objects.ts";

const MAIN = fileURLToPath(new URL("../../operator/main.ts", import.meta.url));

let server: ApiServer;
let space: Space;
const running: ChildProcess[] = [];

beforeAll(async () => {
  server = await startApiServer();
  await installCrds(server.api);
  space = new Space(server.api, await server.namespace());
}, 90_000);
afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
});
afterAll(async () => server.stop());

interface Line {
  level: string;
  message: string;
  port?: number;
}

/** Starts the program; its log lines are collected. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] },
  });
  running.push(child);
  const lines: Line[] = [];
  let errors = "";
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line) as Line));
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  const ended = once(child, "exit").then(([code]) => Number(code));
  return { child, lines, ended, errors: () => errors };
}

const flags = () => [
  "--runtime-image",
  IMAGE,
  "--kubeconfig",
  server.kubeconfig,
  "--leader-elect",
  "--lease-namespace",
  space.namespace,
  "--health-port",
  "0",
];

describe("the operator's program", () => {
  it("leads, works, answers on its health port and ends in good order", async () => {
    const operator = start(...flags());
    await space.create(trainingJob("digits"));
    await space.status("trainingjobs", "digits", "has a run", ({ run }) => run !== undefined);
    const lease = await server.api.get<{ spec: { holderIdentity: string } }>(
      `/apis/coordination.k8s.io/v1/namespaces/${space.namespace}/leases/modelwright-operator`,
    );
    expect(lease.spec.holderIdentity).not.toBe("");
    const { port } = await until("the port is said", async () =>
      operator.lines.find((line) => line.port !== undefined),
    );
    for (const path of ["livez", "readyz", "metrics"]) {
      const response = await fetch(`http://127.0.0.1:${port ?? 0}/${path}`);
      expect(response.status).toBe(200);
      if (path === "metrics") {
        expect(await response.text()).toContain('controller_runtime_reconcile_total{controller="trainingjob"');
      }
    }
    operator.child.kill("SIGTERM");
    expect(await operator.ended).toBe(0);
    expect(operator.lines.filter(({ level }) => level === "error")).toEqual([]);
    const released = await server.api.get<{ spec: { holderIdentity?: string } }>(
      `/apis/coordination.k8s.io/v1/namespaces/${space.namespace}/leases/modelwright-operator`,
    );
    expect(released.spec.holderIdentity ?? "").toBe("");
  }, 60_000);

  it("hands over to a second one, which goes on at once", async () => {
    const first = start(...flags());
    await until("the first leads", async () => first.lines.some(({ message }) => /lead/i.test(message)));
    const second = start(...flags());
    await until("the second is ready", async () => second.lines.some(({ message }) => message === "informers synced"));
    first.child.kill("SIGTERM");
    expect(await first.ended).toBe(0);
    await space.create(trainingJob("later"));
    await space.status("trainingjobs", "later", "has a run", ({ run }) => run !== undefined);
    second.child.kill("SIGTERM");
    expect(await second.ended).toBe(0);
  }, 60_000);

  it("trusts an API server that an authority of --ca-file signed for, and says what a bad file lacks", async () => {
    const folder = await mkdtemp(join(tmpdir(), "modelwright-authorities-"));
    try {
      const caFile = join(folder, "other.pem");
      await writeFile(caFile, rootCertificates[0] ?? "");
      const { url, certFile, keyFile } = server;
      const credentials = { certFile, keyFile };
      const kubeconfig = await writeKubeconfig(join(folder, "kubeconfig"), { url, caFile, user: "admin", credentials });
      const args = ["--runtime-image", IMAGE, "--namespace", space.namespace, "--health-port", "0"];
      const synced = ({ lines }: ReturnType<typeof start>) =>
        lines.some(({ message }) => message === "informers synced");
      const without = start(...args, "--kubeconfig", kubeconfig);
      const operator = start(...args, "--kubeconfig", kubeconfig, "--ca-file", server.caFile);
      await until("it has read everything", async () => synced(operator));
      await until("the other is refused", async () => without.lines.some(({ level }) => level === "warn"));
      expect(synced(without)).toBe(false);
      const wrong = start(...args, "--kubeconfig", kubeconfig, "--ca-file", kubeconfig);
      expect(await wrong.ended).toBe(64);
      expect(wrong.errors()).toMatch(/--ca-file .* has no certificate; it must be PEM/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }, 60_000);

  it.each([
    { what: "no image", args: [], says: "--runtime-image is missing; name the image" },
    { what: "an unknown flag", args: ["--runtime-image", "a", "--wrong"], says: "--wrong" },
    {
      what: "a port that is none",
      args: ["--runtime-image", "a", "--health-port", "x"],
      says: "--health-port x is no port",
    },
    { what: "an amount without a name", args: ["--runtime-image", "a", "--request", "1"], says: "NAME=AMOUNT" },
    {
      what: "a kubeconfig that does not exist",
      args: ["--runtime-image", "a", "--kubeconfig", "/none"],
      says: "cannot read the kubeconfig at /none",
    },
  ])(
    "says what is wrong with $what, and ends with 64",
    async ({ args, says }) => {
      const operator = start(...args);
      expect(await operator.ended).toBe(64);
      expect(operator.errors()).toContain(says);
      expect(operator.errors()).not.toContain("at main");
    },
    20_000,
  );
});
