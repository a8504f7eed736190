import { allowsDerivatives } from "./licence.ts";

it.each([
  ["CC-BY-ND-4.0", false],
  ["CC-BY-NC-ND-3.0-IGO", false],
  ["cc-by-nc-nd-4.0", false],
  ["CC-BY-4.0", true],
  ["CC-BY-NC-SA-4.0", true],
  ["Apache-2.0", true],
  ["GPL-3.0-or-later WITH Classpath-exception-2.0", true],
  ["Apache-2.0 OR CC-BY-ND-4.0", true],
  ["CC-BY-ND-4.0 OR MIT", true],
  ["Apache-2.0 AND CC-BY-ND-4.0", false],
  ["(MIT OR CC-BY-ND-4.0) AND Apache-2.0", true],
  ["MIT AND (CC-BY-ND-4.0 OR CC-BY-NC-ND-4.0)", false],
  ["LicenseRef-Ours", true],
  ["", true],
])("%s: derivatives are allowed: %s", (licence, allowed) => {
  expect(allowsDerivatives(licence)).toBe(allowed);
});
