import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const folder = dirname(fileURLToPath(import.meta.url));
const packages = ["prom-client"];
const lazyPackages = ["yaml", "@kubernetes/client-node"];

async function sources(): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  return entries.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
}

describe("the kernel", () => {
  it("imports nothing outside its folder but the few packages it names", async () => {
    const files = await sources();
    expect(files.map((name) => basename(name))).toContain("client.ts");
    for (const name of files) {
      const text = await readFile(join(folder, name), "utf8");
      for (const [, isType, specifier = ""] of text.matchAll(/^(?:import|export) (type )?[^;]*?from "([^"]+)";/gms)) {
        const isInside = specifier.startsWith(".") && resolve(folder, dirname(name), specifier).startsWith(folder);
        const isKnown = packages.includes(specifier) || specifier.startsWith("node:");
        const isErased = isType !== undefined && specifier.startsWith("kubernetes-models/");
        expect({ name, specifier, isAllowed: isInside || isKnown || isErased }).toMatchObject({ isAllowed: true });
      }
      for (const [, specifier = ""] of text.matchAll(/import\("([^"]+)"\)/g)) {
        expect({ name, isAllowed: lazyPackages.includes(specifier) }).toEqual({
          name: "kube-config.ts",
          isAllowed: true,
        });
      }
    }
  });
});
