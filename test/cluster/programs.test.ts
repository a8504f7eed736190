import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atLeast } from "./build.ts";
import { findPrograms, programs, versionOf } from "./programs.ts";
import { ClusterUnavailable } from "./unavailable.ts";

describe("the programs of a cluster", () => {
  it("have the versions that their Go modules require, and are downloaded in the same versions", async () => {
    for (const program of programs.filter(({ versionOf }) => versionOf !== undefined)) {
      const version = await versionOf(program);
      expect(version).toMatch(/^v\d+\.\d+\.\d+$/);
      expect(program.release?.url(version, "amd64")).toContain(version.slice(1));
    }
  });

  it("are taken from a folder that is given, and what it lacks is named", async () => {
    const bin = await mkdtemp(join(tmpdir(), "modelwright-bin-"));
    try {
      const all = programs.map(({ name }) => name);
      for (const name of all.filter((each) => each !== "etcd")) await writeFile(join(bin, name), "");
      await expect(findPrograms({ bin })).rejects.toThrow(ClusterUnavailable);
      await expect(findPrograms({ bin })).rejects.toThrow(`${bin} lacks etcd`);
      await writeFile(join(bin, "etcd"), "");
      expect(await findPrograms({ env: { MODELWRIGHT_CLUSTER_BIN: bin } })).toBe(bin);
    } finally {
      await rm(bin, { recursive: true });
    }
  });

  it("are built by a Go that is new enough", () => {
    expect(atLeast("1.26.6", "1.26.6")).toBe(true);
    expect(atLeast("1.27", "1.26.6")).toBe(true);
    expect(atLeast("1.26.10", "1.26.6")).toBe(true);
    expect(atLeast("1.19~1", "1.26.0")).toBe(false);
    expect(atLeast("1.26", "1.26.6")).toBe(false);
  });
});
