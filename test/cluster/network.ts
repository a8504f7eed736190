import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, succeeds } from "./command.ts";

/**
 * The ranges are those for benchmarks of network devices (RFC 2544), so they collide with no real network.
 * The node's address is the bridge's, as loopback can be no endpoint of a Service.
 */
export const network = {
  bridge: "mw0",
  node: "198.18.0.1",
  pods: "198.18.0.0/16",
  services: "198.19.0.0/16",
  kubernetesService: "198.19.0.1",
  /** Pods of KWOK nodes: outside the range from which real pods get theirs. */
  fakePods: "198.18.251.0/24",
} as const;

/** Makes the bridge of the pods and routes Services to it, so that the host reaches them and nothing leaves the machine. */
export async function createNetwork(state: string): Promise<void> {
  const { bridge, node, services } = network;
  if (!(await succeeds("ip", ["link", "show", bridge]))) await command("ip", ["link", "add", bridge, "type", "bridge"]);
  await command("ip", ["address", "replace", `${node}/16`, "dev", bridge]);
  await command("ip", ["link", "set", bridge, "up"]);
  await command("ip", ["route", "replace", services, "dev", bridge]);
  await writeFile("/proc/sys/net/ipv4/ip_forward", "1");
  await succeeds("modprobe", ["br_netfilter"]); // built in on many machines
  await succeeds("sysctl", ["-qw", "net.bridge.bridge-nf-call-iptables=1"]);
  await mkdir(join(state, "cni"), { recursive: true });
  await writeFile(join(state, "cni", "10-modelwright.conflist"), JSON.stringify(cni(state), null, 2));
}

export async function removeNetwork(): Promise<void> {
  await succeeds("ip", ["route", "del", network.services, "dev", network.bridge]);
  await succeeds("ip", ["link", "del", network.bridge]);
  for (const family of ["ip", "ip6"]) await succeeds("nft", ["delete", "table", family, "kube-proxy"]);
}

function cni(state: string): unknown {
  const range = { subnet: network.pods, rangeStart: "198.18.1.1", rangeEnd: "198.18.250.250", gateway: network.node };
  return {
    cniVersion: "1.0.0",
    name: "modelwright",
    plugins: [
      {
        type: "bridge",
        bridge: network.bridge,
        isGateway: true,
        hairpinMode: true,
        ipMasq: false,
        ipam: { type: "host-local", ranges: [[range]], routes: [{ dst: "0.0.0.0/0" }], dataDir: join(state, "ipam") },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}
