import { energyModel } from "./energy-model.ts";

it("has a default for all that is not said", () => {
  expect(energyModel([])).toEqual({ gramsPerKWh: 475, pue: 1, idleWattsPerCpu: 0.74, busyWattsPerCpu: 3.5 });
  expect(energyModel(["pue=1.3", "gramsPerKWh=56"])).toMatchObject({ gramsPerKWh: 56, pue: 1.3, busyWattsPerCpu: 3.5 });
});

it.each([
  ["pue=0.5", "pue=0.5: give a number from 1 to 5"],
  ["gramsPerKWh=", "gramsPerKWh=: give a number from 0 to 2000"],
  ["gramsPerKWh=much", "gramsPerKWh=much: give a number from 0 to 2000"],
  [
    "watts=3",
    "watts=3 is not of the form NAME=NUMBER with NAME one of gramsPerKWh, pue, idleWattsPerCpu, busyWattsPerCpu",
  ],
])("refuses %s and says what to give", (text, message) => {
  expect(() => energyModel([text])).toThrow(message);
});
