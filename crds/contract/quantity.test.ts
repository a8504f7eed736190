import { expect, it } from "@jest/globals";
import { quantityValue } from "./quantity.ts";

it("reads quantities as Kubernetes writes them", () => {
  const values = ["100Ki", "1.5M", 7, "2Gi", "900", "500m"].map(quantityValue);
  expect(values).toEqual([102_400, 1_500_000, 7, 2 ** 31, 900, 0.5]);
});

it.each(["", "Ki", "1Q", "-1", "1 k", "1.", "0x10"])("reads no quantity from %j", (text) => {
  expect(quantityValue(text)).toBeUndefined();
});
