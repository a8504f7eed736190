import { energyModel } from "../../crds/contract/energy-model.ts";
import { PowerIntegral, addConsumption, energyOf } from "./energy.ts";

const model = energyModel([]);

it("250 watts for an hour are 0.25 kWh, and 118.75 g at the world's average intensity", () => {
  const consumption = { allottedCpuSeconds: 0, cpuSeconds: 0, gpuJoules: 250 * 3600 };
  expect(energyOf(consumption, model)).toEqual({
    kWh: 0.25,
    gCO2e: 118.8,
    source: "GpuCounters",
    gramsPerKWh: 475,
    pue: 1,
  });
});

it("without counters a model of the processors is used, and said", () => {
  const busy = energyOf({ allottedCpuSeconds: 7200, cpuSeconds: 7200 }, model);
  expect(busy).toMatchObject({ kWh: 0.007, source: "CpuModel" });
  const idle = energyOf({ allottedCpuSeconds: 7200, cpuSeconds: 0 }, model);
  expect(idle.kWh).toBeCloseTo(0.00148, 6);
});

it("the data centre's own use multiplies it", () => {
  const consumption = { allottedCpuSeconds: 0, cpuSeconds: 0, gpuJoules: 3.6e6 };
  expect(energyOf(consumption, { ...model, pue: 1.5, gramsPerKWh: 100 })).toMatchObject({ kWh: 1.5, gCO2e: 150 });
});

it("what former processes of a run have used is added", () => {
  const first = { allottedCpuSeconds: 20, cpuSeconds: 15 };
  expect(addConsumption(first, { ...first, gpuJoules: 5 })).toEqual({
    allottedCpuSeconds: 40,
    cpuSeconds: 30,
    gpuJoules: 5,
  });
  expect(addConsumption(first, first)).toEqual({ allottedCpuSeconds: 40, cpuSeconds: 30 });
});

it("power of each GPU is added up between its own readings", () => {
  const power = new PowerIntegral();
  power.add("0", 100, 0);
  expect(power.joules).toBeUndefined();
  power.add("1", 50, 1);
  power.add("0", 300, 2);
  power.add("1", 50, 3);
  expect(power.joules).toBe(500);
});
