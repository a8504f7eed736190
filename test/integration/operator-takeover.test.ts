import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { type ApiServer, startApiServer } from "../cluster/apiserver.ts";
import { freePorts } from "../cluster/ports.ts";
import { until } from "../cluster/wait.ts";
import { IMAGE, installCrds } from "./operator/bed.ts";
import { modelDeployment, Space } from "./operator/objects.ts";

const main = fileURLToPath(new URL("../../operator/main.ts", import.meta.url));
const often = { within: 30_000, every: 10 };

interface Replica {
  readonly process: ChildProcess;
  readonly port: number;
}

let server: ApiServer;
let space: Space;
let replicas: Replica[];

beforeAll(async () => {
  server = await startApiServer();
  await installCrds(server.api);
}, 90_000);
afterAll(async () => server.stop());

beforeEach(async () => {
  space = new Space(server.api, await server.namespace());
  const ports = await freePorts(2);
  replicas = ports.map((port) => ({ port, process: start(port) }));
});
afterEach(async () => {
  await Promise.all(replicas.map(({ process }) => end(process, "SIGKILL")));
});

function start(port: number, ...more: string[]): ChildProcess {
  const flags = ["--runtime-image", IMAGE, "--kubeconfig", server.kubeconfig, "--health-port", String(port)];
  const election = ["--leader-elect", "--lease-namespace", space.namespace, "--namespace", space.namespace];
  return spawn(process.execPath, [main, ...flags, ...election, ...more], { stdio: "ignore" });
}

/** Ends a process and resolves with its exit code. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
  return child.exitCode;
}

async function read(replica: Replica, path: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${replica.port}${path}`);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.text();
}

const leads = async (replica: Replica) =>
  (await read(replica, "/metrics")).includes('leader_election_master_status{name="modelwright-operator"} 1');

/** The replica that leads and the other, once both are ready. */
async function roles(): Promise<{ leader: Replica; standby: Replica }> {
  for (const replica of replicas) await until("a replica is ready", () => read(replica, "/readyz"), often);
  const leader = await until(
    "one leads",
    async () => {
      for (const replica of replicas) if (await leads(replica)) return replica;
      return undefined;
    },
    often,
  );
  const standby = replicas.find((replica) => replica !== leader);
  if (!standby) throw new Error("there is one replica only");
  return { leader, standby };
}

/** Makes a ModelDeployment, and resolves with the seconds until its Deployment was there. */
async function serves(name: string): Promise<number> {
  const started = performance.now();
  await space.create(modelDeployment(name));
  const path = `/apis/apps/v1/namespaces/${space.namespace}/deployments`;
  const selector = `labelSelector=modelwright.dev/model-deployment%3D${name}`;
  const made = async () => (await server.api.get<{ items: unknown[] }>(`${path}?${selector}`)).items.length > 0;
  await until(`${name} has a Deployment`, made, often);
  return (performance.now() - started) / 1000;
}

describe("of two operators", () => {
  it("the standby does the work of a killed leader within five seconds", async () => {
    const { leader, standby } = await roles();
    expect(await serves("before")).toBeLessThan(5);
    expect(await leads(standby)).toBe(false);
    await end(leader.process, "SIGKILL");
    expect(await serves("after")).toBeLessThan(5);
    expect(await leads(standby)).toBe(true);
  }, 60_000);

  it("the standby takes over at once from a leader that is told to stop", async () => {
    const { leader, standby } = await roles();
    const started = performance.now();
    const code = await end(leader.process, "SIGTERM");
    expect(await serves("after")).toBeLessThan(1);
    expect((performance.now() - started) / 1000).toBeLessThan(2);
    expect(await leads(standby)).toBe(true);
    expect(code).toBe(0);
  }, 60_000);
});

describe("an operator alone", () => {
  it("goes on when its container is started again, without waiting for its own lease to end", async () => {
    for (const { process } of replicas) await end(process, "SIGTERM");
    const [port = 0] = await freePorts(1);
    const first = start(port, "--identity=pod-1.uid-1");
    const second = { port, process: first };
    replicas = [second];
    await until("it leads", async () => leads(second), often);
    await end(first, "SIGKILL");
    const again = { port, process: start(port, "--identity=pod-1.uid-1") };
    replicas = [again];
    await until("it is ready", () => read(again, "/readyz"), often);
    // Anybody else would have to see the lease unchanged for four seconds.
    await until("it leads", async () => leads(again), { within: 3000, every: 10 });
  }, 60_000);

  it("goes on by itself after the API server was away for longer than its lease lasts", async () => {
    const { leader, standby } = await roles();
    await end(standby.process, "SIGTERM");
    expect(await serves("before")).toBeLessThan(5);
    await server.crash();
    await until("it leads no more", async () => !(await leads(leader)), often);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await read(leader, "/livez")).toContain("ok");
    await server.restart();
    await until("it leads again", async () => leads(leader), often);
    expect(await serves("after")).toBeLessThan(5);
    expect(leader.process.exitCode).toBeNull();
  }, 120_000);
});
