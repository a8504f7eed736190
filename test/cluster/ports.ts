import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

/** Ports on loopback that nobody listens on now. They are all different; a stranger may still take one before it is used. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

/** Does somebody listen on this port already? */
export async function portTaken(port: number): Promise<boolean> {
  const server = createServer().listen(port);
  return new Promise((resolve) => {
    server.once("error", () => resolve(true));
    server.once("listening", () => server.close(() => resolve(false)));
  });
}
