import { describe, expect, it } from "@jest/globals";
import { readFile } from "node:fs/promises";
import { EVENTS, FAILURES, failureNote, PHASES } from "./reasons.ts";

describe("the reasons that users may see", () => {
  it("are all explained in docs/reasons.md, and no others", async () => {
    const text = await readFile(new URL("../docs/reasons.md", import.meta.url), "utf8");
    const first = text.split("\n").flatMap((line) => (line.startsWith("| `") ? [line.split("|")[1] ?? ""] : []));
    const explained = first.flatMap((cell) => [...cell.matchAll(/`(\w+)`/g)].map((match) => match[1]));
    expect(new Set(explained)).toEqual(new Set([...FAILURES, ...PHASES, ...EVENTS]));
  });

  it("fit into a condition", () => {
    expect([...FAILURES, ...PHASES, ...EVENTS].filter((reason) => !/^[A-Z][A-Za-z]{0,62}$/.test(reason))).toEqual([]);
  });

  it("are events of their own, or begin the message of a Failed event", () => {
    expect(failureNote({ reason: "DataRejected", message: "line 3" })).toEqual({
      type: "Warning",
      reason: "DataRejected",
      message: "line 3",
    });
    expect(failureNote({ reason: "OutOfMemory", message: "raise it" })).toMatchObject({
      reason: "Failed",
      message: "OutOfMemory: raise it",
    });
  });
});
