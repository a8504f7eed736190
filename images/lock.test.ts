import { closure, NotLocked, packageName } from "./lock.ts";

const lock = {
  packages: {
    "": {},
    "node_modules/web": { dependencies: { parse: "1", "@types/web": "1" }, optionalDependencies: { fast: "1" } },
    "node_modules/parse": { dependencies: { text: "2" } },
    "node_modules/parse/node_modules/text": {},
    "node_modules/text": { dependencies: { web: "1" } },
    "node_modules/@types/web": {},
    "node_modules/tool": { dependencies: { gone: "1" } },
  },
};

describe("the packages of an image", () => {
  it("are those that its own need, each in the version that Node finds for the one that asks", () => {
    expect(closure(lock, ["web"])).toEqual([
      "node_modules/@types/web",
      "node_modules/parse",
      "node_modules/parse/node_modules/text",
      "node_modules/web",
    ]);
  });

  it("may need each other in a circle", () => {
    expect(closure(lock, ["text"])).toContain("node_modules/text");
    expect(closure(lock, ["text"])).toContain("node_modules/web");
  });

  it("leave out what holds no code", () => {
    expect(closure(lock, ["web"], (name) => !name.startsWith("@types/"))).not.toContain("node_modules/@types/web");
  });

  it("leave out an optional package that is not locked", () => {
    expect(closure(lock, ["web"]).join()).not.toContain("fast");
  });

  it("leave out an optional package that is for another platform", () => {
    const packages = {
      "node_modules/image": { optionalDependencies: { "image-linux": "1", "image-musl": "1", "image-mac": "1" } },
      "node_modules/image-linux": { os: ["linux"], cpu: ["x64"], libc: ["glibc"] },
      "node_modules/image-musl": { os: ["linux"], cpu: ["x64"], libc: ["musl"] },
      "node_modules/image-mac": { os: ["darwin"], cpu: ["x64"] },
    };
    const paths = (cpu: string) =>
      closure({ packages }, ["image"], () => true, { os: "linux", cpu, libc: "glibc" }).join(" ");
    expect(paths("x64")).toBe("node_modules/image node_modules/image-linux");
    expect(paths("arm64")).toBe("node_modules/image");
  });

  it("cannot lack one that is needed: the error names it, who needs it and the remedy", () => {
    expect(() => closure(lock, ["tool"])).toThrow(NotLocked);
    expect(() => closure(lock, ["tool"])).toThrow(
      "tool needs the package gone, which package-lock.json does not hold. Run npm install.",
    );
    expect(() => closure(lock, ["none"])).toThrow("The image needs the package none");
  });

  it("are named by their innermost folder", () => {
    expect(packageName("node_modules/a/node_modules/@b/c")).toBe("@b/c");
  });
});
