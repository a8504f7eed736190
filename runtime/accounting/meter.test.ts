import { startMeter } from "./meter.ts";

async function readUntil<T>(read: () => T | undefined): Promise<T> {
  for (;;) {
    const value = read();
    if (value !== undefined) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it("counts wall and processor time of this process", () => {
  let now = 0;
  const meter = startMeter({ cpus: 2, gpu: false, clock: () => now });
  now = 1500;
  const { allottedCpuSeconds, cpuSeconds, gpuJoules } = meter.read();
  expect({ allottedCpuSeconds, gpuJoules }).toEqual({ allottedCpuSeconds: 3, gpuJoules: undefined });
  expect(cpuSeconds).toBeGreaterThanOrEqual(0);
  meter.stop();
});

it("reads the power of the GPUs as the driver's tool prints it", async () => {
  let milliseconds = 0;
  // Each line is read a second after the one before.
  const clock = () => (milliseconds += 1000);
  const lines = "0, 100.0\\n1, [N/A]\\n0, 300.0\\n";
  const meter = startMeter({ cpus: 1, gpu: true, clock, powerCommand: ["printf", lines] });
  expect(await readUntil(() => meter.read().gpuJoules)).toBeGreaterThanOrEqual(200);
  meter.stop();
});

it("a node without the driver's tools has no counter, which is no failure", async () => {
  const meter = startMeter({ cpus: 1, gpu: true, powerCommand: ["modelwright-no-such-program"] });
  await new Promise((resolve) => setImmediate(resolve));
  expect(meter.read().gpuJoules).toBeUndefined();
  meter.stop();
});
