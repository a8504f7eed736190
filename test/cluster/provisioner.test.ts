import { isLeft, volumeFor, wants } from "./provisioner.ts";
import type { Claim, Volume } from "./provisioner.ts";

const claim = (annotations: Record<string, string>, change: Partial<Claim> = {}): Claim => ({
  metadata: { name: "data", namespace: "team", uid: "1234", annotations },
  spec: { storageClassName: "standard", accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  status: { phase: "Pending" },
  ...change,
});
const ours = { "volume.kubernetes.io/storage-provisioner": "modelwright.dev/node-folder" };
const selected = (node: string): Record<string, string> => ({ ...ours, "volume.kubernetes.io/selected-node": node });

const volume = (phase: string, change: Partial<Volume["spec"]> = {}, by = "modelwright.dev/node-folder"): Volume => ({
  metadata: { name: "pvc-1234", uid: "5678", annotations: { "pv.kubernetes.io/provisioned-by": by } },
  spec: { persistentVolumeReclaimPolicy: "Delete", ...change },
  status: { phase },
});

describe("the provisioner of volumes", () => {
  it("makes a volume for a claim of its class, on its own node only", () => {
    expect(wants(claim(ours))).toBe(true);
    expect(wants(claim(selected("modelwright")))).toBe(true);
    expect(wants(claim(selected("fake-node")))).toBe(false);
    expect(wants(claim({}))).toBe(false);
    expect(wants(claim({ "volume.kubernetes.io/storage-provisioner": "somebody/else" }))).toBe(false);
  });

  it("makes none for a claim that is bound or going", () => {
    expect(wants(claim(ours, { status: { phase: "Bound" } }))).toBe(false);
    const going = {
      name: "data",
      namespace: "team",
      uid: "1234",
      annotations: ours,
      deletionTimestamp: "2026-01-01T00:00:00Z",
    };
    expect(wants(claim(ours, { metadata: going }))).toBe(false);
  });

  it("reserves the volume for the very claim, by its uid", () => {
    expect(volumeFor(claim(ours), "/volumes/pvc-1234")).toMatchObject({
      metadata: { name: "pvc-1234" },
      spec: {
        capacity: { storage: "1Gi" },
        claimRef: { namespace: "team", name: "data", uid: "1234" },
        local: { path: "/volumes/pvc-1234" },
      },
    });
  });

  it("removes only volumes of its own that nobody claims any more", () => {
    expect(isLeft(volume("Released"))).toBe(true);
    expect(isLeft(volume("Bound"))).toBe(false);
    expect(isLeft(volume("Released", { persistentVolumeReclaimPolicy: "Retain" }))).toBe(false);
    expect(isLeft(volume("Released", {}, "somebody/else"))).toBe(false);
  });
});
