/** What no pod can measure of the energy that it takes; whoever installs the operator may know it. */

/** Names of the numbers, their defaults and bounds. */
export const ENERGY_MODEL = {
  /** Grams of CO2 equivalent for a kWh of the grid; default: the world's average. */
  gramsPerKWh: { default: 475, min: 0, max: 2000 },
  /** Energy of the whole data centre divided by that of its computers. */
  pue: { default: 1, min: 1, max: 5 },
  /** Watts of a processor without work and with all the work it can do: a large cloud's averages by Cloud Carbon Footprint. */
  idleWattsPerCpu: { default: 0.74, min: 0, max: 1000 },
  busyWattsPerCpu: { default: 3.5, min: 0, max: 1000 },
} as const;

export type EnergyModel = Record<keyof typeof ENERGY_MODEL, number>;

const entries = Object.entries(ENERGY_MODEL);

/** Reads `NAME=NUMBER` texts. Throws RangeError that says what is wrong and how to put it right. */
export function energyModel(texts: readonly string[]): EnergyModel {
  const given = texts.map((text): [string, number] => {
    const [name = "", value = ""] = text.split("=");
    const bounds = entries.find(([known]) => known === name)?.[1];
    if (bounds === undefined) {
      throw new RangeError(
        `${text} is not of the form NAME=NUMBER with NAME one of ${entries.map(([known]) => known).join(", ")}`,
      );
    }
    const number = Number(value);
    if (value.trim() === "" || !(number >= bounds.min && number <= bounds.max)) {
      throw new RangeError(`${text}: give a number from ${bounds.min} to ${bounds.max}`);
    }
    return [name, number];
  });
  const defaults = entries.map(([name, bounds]): [string, number] => [name, bounds.default]);
  // All names are those of the table.
  return Object.fromEntries([...defaults, ...given]) as EnergyModel;
}
