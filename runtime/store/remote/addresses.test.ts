import type { lookup } from "node:dns";
import { type Reach, checkHost, guardedLookup, mayReach } from "./addresses.ts";

const PUBLIC: Reach = { to: "Public", allowedHosts: [] };
const SERVICE: Reach = { to: "Service", allowedHosts: [] };

it.each([
  "127.0.0.1",
  "10.1.2.3",
  "172.31.255.255",
  "192.168.0.1",
  "100.64.0.1",
  "169.254.169.254",
  "0.0.0.0",
  "198.18.0.1",
  "224.0.0.1",
  "255.255.255.255",
  "::1",
  "::",
  "fe80::1",
  "fd00:ec2::254",
  "fc00::1",
  "ff02::1",
  "::ffff:127.0.0.1",
  "::ffff:a9fe:a9fe",
  "64:ff9b::7f00:1",
])("a web server at %s is not reached", (address) => {
  expect(mayReach(address, PUBLIC)).toBe(false);
});

it.each(["93.184.216.34", "2606:2800:220:1::1", "172.32.0.1", "100.128.0.1"])("a web server at %s is", (address) => {
  expect(mayReach(address, PUBLIC)).toBe(true);
});

it.each(["10.1.2.3", "127.0.0.1", "fc00::1"])("a service that a manifest names may be at %s", (address) => {
  expect(mayReach(address, SERVICE)).toBe(true);
});

it.each(["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0"])(
  "but never at %s, where clouds tell secrets",
  (address) => {
    expect(mayReach(address, SERVICE)).toBe(false);
  },
);

it.each([
  "https://127.1/x",
  "https://2130706433/x",
  "https://0x7f.0.0.1/x",
  "https://0177.0.0.1/x",
  "https://[::ffff:7f00:1]/x",
  "https://[::1]/x",
])("other ways to write an address do not help: %s", (url) => {
  expect(() => checkHost(new URL(url).hostname, PUBLIC)).toThrow(/is not public/);
});

/** A resolver that answers with these addresses, one list for each question. */
function resolver(...answers: string[][]): typeof lookup {
  const found = (_host: string, _options: object, callback: (error: null, all: object[]) => void) => {
    callback(
      null,
      (answers.shift() ?? []).map((address) => ({ address, family: address.includes(":") ? 6 : 4 })),
    );
  };
  // Only the form with options and a list is called.
  return found as unknown as typeof lookup;
}

function resolved(resolve: typeof lookup, host: string, reach: Reach): Promise<string> {
  return new Promise((done, fail) => {
    // Without the option `all`, there is one address.
    guardedLookup(reach, resolve)(host, {}, (error, address) =>
      error === null ? done(address as string) : fail(error),
    );
  });
}

it("a name is reached at the address that was checked", async () => {
  await expect(resolved(resolver(["93.184.216.34"]), "example.com", PUBLIC)).resolves.toBe("93.184.216.34");
});

it("a name with one private address among others is not", async () => {
  const resolve = resolver(["93.184.216.34", "10.0.0.1"]);
  await expect(resolved(resolve, "example.com", PUBLIC)).rejects.toMatchObject({
    reason: "AccessDenied",
    exitCode: 66,
  });
});

it("a name that is rebound between two connections is not", async () => {
  const resolve = resolver(["93.184.216.34"], ["127.0.0.1"]);
  await expect(resolved(resolve, "example.com", PUBLIC)).resolves.toBe("93.184.216.34");
  await expect(resolved(resolve, "example.com", PUBLIC)).rejects.toThrow(/not public/);
});

it("a host that the administrator allows is", async () => {
  const reach: Reach = { to: "Public", allowedHosts: ["files.lab"] };
  await expect(resolved(resolver(["10.0.0.1"]), "files.lab", reach)).resolves.toBe("10.0.0.1");
});
