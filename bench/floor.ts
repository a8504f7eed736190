/**
 * The least that must be done for many ModelDeployments: each is posted, and then its children, with nothing but Node's
 * own HTTP client. No informer, no status, no answer looked at. `node bench/floor.ts KUBECONFIG NAMESPACE COUNT`
 */
import { once } from "node:events";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";
import { loadConnection } from "../operator/kernel/kube-config.ts";
import { pathOf } from "../operator/kernel/resource.ts";
import type { DeploymentOwner } from "../operator/model-deployment/revision.ts";
import { planRollout } from "../operator/model-deployment/rollout.ts";
import { ServingWorld } from "../operator/testing/serving-world.ts";
import { deploymentsPath, manifest } from "./operator/manifests.ts";

/** As many as reconciles of the operator run at a time. */
const CONNECTIONS = 32;

const [kubeconfig = "", namespace = "", count = "0"] = process.argv.slice(2);
const connection = await loadConnection({ kubeconfig });
const authorization = (await connection.authorization()) ?? "";
const tls = Object.fromEntries(Object.entries(await connection.tls()).filter(([, value]) => value !== undefined));
const agent = new Agent({ ...tls, keepAlive: true, maxSockets: CONNECTIONS });

async function post(path: string, object: unknown): Promise<string> {
  const headers = { authorization, "content-type": "application/json" };
  const posted = request(connection.server + path, { method: "POST", headers, agent });
  posted.end(JSON.stringify(object));
  const [response] = await once(posted, "response");
  const answer = await text(response);
  if (response.statusCode !== 201) throw new Error(`POST ${path}: ${response.statusCode} ${answer}`);
  return answer;
}

/** What the operator writes when it sees the object for the first time. */
function children(owner: DeploymentOwner) {
  const world = new ServingWorld();
  world.owner = owner;
  return planRollout(world.see()).flatMap((write) => (write.verb === "create" ? [write] : []));
}

let requests = 0;
async function one(name: string): Promise<void> {
  const owner = JSON.parse(await post(deploymentsPath(namespace), manifest(name))) as DeploymentOwner;
  for (const { resource, object } of children(owner)) {
    await post(pathOf(resource, namespace), { apiVersion: resource.apiVersion, kind: resource.kind, ...object });
    requests++;
  }
}

const started = performance.now();
const names = Array.from({ length: Number(count) }, (_, index) => `floor-${index}`).values();
const work = async () => {
  for (const name of names) await one(name);
};
await Promise.all(Array.from({ length: CONNECTIONS }, work));
const seconds = (performance.now() - started) / 1000;
const { user, system } = process.cpuUsage();
console.log(JSON.stringify({ seconds, requests: requests / Number(count), client: (user + system) / 1e6 }));
agent.destroy();
