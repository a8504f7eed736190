import "./test-realm.ts";
import { openBackend } from "./backend.ts";

describe.each(["TensorFlow", "Wasm"] as const)("%s", (engine) => {
  it("computes, and names the device that does", async () => {
    const { tf, engine: opened, device, versions } = await openBackend(engine, { threads: 1 });
    const x = tf.tensor2d([1, 2, 3, 4], [2, 2]);
    expect(Array.from(await tf.matMul(x, x).data())).toEqual([7, 10, 15, 22]);
    expect(tf.getBackend()).toBe(engine === "Wasm" ? "wasm" : "tensorflow");
    expect({ opened, device }).toEqual({ opened: engine, device: "CPU" });
    expect(versions["node"]).toBe(process.versions.node);
  });

  it("is refused when a GPU was asked for and none is seen", async () => {
    const opening = openBackend(engine, { gpu: { onMissing: "Fail" } });
    await expect(opening).rejects.toMatchObject({ reason: "GpuNotVisible", exitCode: 75 });
    await expect(opening).rejects.toThrow(/set gpu.onMissing to UseCpu/);
  });

  it("computes on the CPU instead when the specification allows it", async () => {
    expect((await openBackend(engine, { gpu: { onMissing: "UseCpu" } })).device).toBe("CPU");
  });
});
