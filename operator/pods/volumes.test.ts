import { describe, expect, it } from "@jest/globals";
import { NOW, pod } from "../testing/objects.ts";
import type { PodRecord } from "./pod-record.ts";
import { withVolumeProblem } from "./volumes.ts";

const creating = { waiting: { reason: "ContainerCreating", message: "" } };
const since = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

async function look(pods: PodRecord[], messages: string[], reason = "FailedAttachVolume") {
  const asked: (string | undefined)[] = [];
  const list = (_: unknown, { fieldSelector }: { fieldSelector?: string }) => {
    asked.push(fieldSelector);
    return Promise.resolve({
      items: [...messages.map((message) => ({ message, reason })), { message: "", reason: "Scheduled" }],
    });
  };
  // All that is called of the client.
  const client = { list } as unknown as Parameters<typeof withVolumeProblem>[0];
  return { asked, pods: await withVolumeProblem(client, pods, NOW, AbortSignal.timeout(1000)) };
}

describe("a pod whose volume does not come", () => {
  it("has the newest reason, once it has waited for a while", async () => {
    const first = pod({ name: "first", ...creating, createdAt: since(60) });
    const second = pod({ name: "second", ...creating, createdAt: since(30) });
    const { asked, pods } = await look([second, first], ["old", "Multi-Attach error"]);
    expect(pods.map(({ unattached }) => unattached)).toEqual([undefined, "Multi-Attach error"]);
    expect(asked).toEqual(["involvedObject.uid=uid-of-first"]);
  });

  it("has the reason of the kubelet, too", async () => {
    const slow = pod({ ...creating, createdAt: since(60) });
    const { pods } = await look([slow], ['secret "s3" not found'], "FailedMount");
    expect(pods.map(({ unattached }) => unattached)).toEqual(['secret "s3" not found']);
  });

  it("is as it was when no event names a reason", async () => {
    const slow = pod({ ...creating, createdAt: since(60) });
    expect((await look([slow], [])).pods).toEqual([slow]);
  });

  it.each([
    { what: "just created", seen: { ...creating, createdAt: since(2) } },
    { what: "at work", seen: { phase: "Running", running: true, createdAt: since(60) } },
    { what: "without a node", seen: { unschedulable: "no node", createdAt: since(60) } },
  ])("is not asked about while it is $what", async ({ seen }) => {
    expect((await look([pod(seen)], ["any"])).asked).toEqual([]);
  });
});
