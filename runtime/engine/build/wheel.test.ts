import { cacheKey, downloadArguments, requirement, wheelFor } from "./wheel.ts";

it("knows a wheel for both variants on x64 and for the CPU on arm64", () => {
  expect(wheelFor("cpu", "linux", "x64")?.distribution).toBe("tensorflow-cpu");
  expect(wheelFor("gpu", "linux", "x64")?.distribution).toBe("tensorflow");
  expect(wheelFor("cpu", "linux", "arm64")?.platform).toMatch(/aarch64/);
});

it("knows none where TensorFlow has no library of that kind", () => {
  expect(wheelFor("cpu", "darwin", "arm64")).toBeUndefined();
  expect(wheelFor("gpu", "linux", "arm64")).toBeUndefined();
});

it("accepts nothing but the pinned file", () => {
  const wheel = {
    distribution: "tensorflow-cpu",
    version: "2.21.0",
    platform: "manylinux_2_27_x86_64",
    sha256: "ab".repeat(32),
  };
  expect(requirement(wheel)).toBe(`tensorflow-cpu==2.21.0 --hash=sha256:${"ab".repeat(32)}\n`);
  expect(downloadArguments(wheel, "requirements.txt", "folder")).toEqual(
    expect.arrayContaining(["--require-hashes", "--no-deps"]),
  );
  expect(cacheKey("cpu", "x64", wheel)).toBe("cpu-x64-2.21.0-abababab");
});
