import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveInput, resolveUri } from "./uri.ts";

let volumes: string;

beforeEach(async () => {
  volumes = await mkdtemp(join(tmpdir(), "uri-"));
  await mkdir(join(volumes, "models", "data"), { recursive: true });
  await writeFile(join(volumes, "models", "data", "a.csv"), "x");
  await writeFile(join(volumes, "secret"), "x");
});

afterEach(() => rm(volumes, { recursive: true }));

it("finds a path in a claim, whether or not it exists yet", async () => {
  expect(await resolveUri("pvc://models/data/a.csv", volumes)).toBe(join(volumes, "models/data/a.csv"));
  expect(await resolveUri("pvc://models/new/run", volumes)).toBe(join(volumes, "models/new/run"));
});

it.each([
  "pvc://models/../secret",
  "pvc://models/data/..",
  "pvc://../secret",
  "file:///etc/passwd",
  "pvc://models",
  "pvc://models/.hidden",
])("refuses %s, and names the form", async (uri) => {
  await expect(resolveUri(uri, volumes)).rejects.toMatchObject({ reason: "InvalidSpec", exitCode: 64 });
});

it("refuses a symbolic link that leads out of the claim", async () => {
  await symlink(volumes, join(volumes, "models", "out"));
  await symlink(join(volumes, "secret"), join(volumes, "models", "file"));
  for (const uri of ["pvc://models/out/secret", "pvc://models/out/new", "pvc://models/file"]) {
    await expect(resolveInput(uri, volumes)).rejects.toMatchObject({ reason: "InvalidSpec" });
  }
});

it("follows a symbolic link inside the claim", async () => {
  await symlink("data", join(volumes, "models", "latest"));
  await expect(resolveInput("pvc://models/latest/a.csv", volumes)).resolves.toContain("a.csv");
});

it("names the URI and the remedy when the claim or the file is missing", async () => {
  await expect(resolveUri("pvc://other/x", volumes)).rejects.toThrow(/pvc:\/\/other\/x: there is no claim other here/);
  await expect(resolveInput("pvc://models/x.csv", volumes)).rejects.toThrow(
    /pvc:\/\/models\/x.csv does not exist; put/,
  );
  await expect(resolveInput("pvc://models/x.csv", volumes)).rejects.toMatchObject({ exitCode: 66 });
});
