/** Kubernetes quantities, such as 500m, 1.5G or 100Ki. */

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** The number that a quantity means; undefined where it is none. */
export function quantityValue(quantity: string | number): number | undefined {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?)([A-Za-z]*)$/.exec(String(quantity)) ?? [];
  const scale = UNITS[unit];
  return digits === "" || scale === undefined ? undefined : Number(digits) * scale;
}
