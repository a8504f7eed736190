/**
 * Which addresses a pod may connect to. They are checked when a connection is made, after the name was resolved, so
 * neither a redirect nor a name whose address changes leads elsewhere.
 */
import { lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { Failure } from "../../failure.ts";

function listOf(v4: readonly [string, number][], v6: readonly [string, number][]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of v4) list.addSubnet(network, prefix, "ipv4");
  for (const [network, prefix] of v6) list.addSubnet(network, prefix, "ipv6");
  return list;
}

/** Nowhere, this link (cloud metadata among them), and many at once. */
const NEVER_V4: [string, number][] = [
  ["0.0.0.0", 8],
  ["169.254.0.0", 16],
  ["224.0.0.0", 3],
];
const NEVER_V6: [string, number][] = [
  ["::", 128],
  ["fe80::", 10],
  ["fd00:ec2::254", 128],
  ["ff00::", 8],
];

/** Addresses that are not of the public internet (RFC 1918, 6598, 6890), and those that hold another inside. */
const PRIVATE_V4: [string, number][] = [
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
];
const PRIVATE_V6: [string, number][] = [
  ["::1", 128],
  ["fc00::", 7],
  ["64:ff9b::", 96],
  ["2002::", 16],
];

const FORBIDDEN = {
  /** What a manifest names as the endpoint of a service, which may well be in the cluster. */
  Service: listOf(NEVER_V4, NEVER_V6),
  /** Any web server. */
  Public: listOf([...NEVER_V4, ...PRIVATE_V4], [...NEVER_V6, ...PRIVATE_V6]),
};

export interface Reach {
  to: keyof typeof FORBIDDEN;
  /** Names of hosts that an administrator allows, whatever their addresses. */
  allowedHosts: readonly string[];
}

/** May this address be connected to? */
export function mayReach(address: string, { to }: Reach): boolean {
  const family = isIP(address);
  return family !== 0 && !FORBIDDEN[to].check(address, family === 6 ? "ipv6" : "ipv4");
}

function refused(host: string): Failure {
  return new Failure(
    "AccessDenied",
    `${host} has an address that is not public; use a public one, or have the administrator allow the host`,
  );
}

const bare = (host: string) => host.replace(/^\[|\]$/g, "");

/** Throws Failure AccessDenied when `host` is itself an address that may not be reached. */
export function checkHost(host: string, reach: Reach): void {
  const address = bare(host);
  if (isIP(address) !== 0 && !reach.allowedHosts.includes(address) && !mayReach(address, reach)) throw refused(host);
}

/** Resolves names for connections; fails when any of the addresses may not be reached. */
export function guardedLookup(reach: Reach, resolve: typeof lookup = lookup): LookupFunction {
  return (host, options, callback) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const [first] = addresses;
      const allowed = reach.allowedHosts.includes(host);
      if (first === undefined || (!allowed && !addresses.every(({ address }) => mayReach(address, reach)))) {
        return callback(refused(host), []);
      }
      return options.all === true ? callback(null, addresses) : callback(null, first.address, first.family);
    });
  };
}
