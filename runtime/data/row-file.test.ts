import { assert, array, integer, property } from "fast-check";
import { RowFileWriter } from "./row-file.ts";

it("rows come back as they were written, in any order", () => {
  const lengths = array(integer({ min: 0, max: 9 }), { maxLength: 20 });
  assert(
    property(lengths, integer({ min: 1, max: 5 }), (parts, size) => {
      const writer = new RowFileWriter();
      let next = 0;
      for (const length of parts) writer.push(Float32Array.from({ length: length * size }, () => (next += 1)));
      const count = next / size;
      const rows = writer.finish(size);
      const order = Uint32Array.from({ length: count }, (_, i) => count - 1 - i);
      const target = new Float32Array(size + 1);
      order.forEach((row, index) => {
        rows.take(order).read(index, target, 1);
        expect(Array.from(target.subarray(1))).toEqual(Array.from({ length: size }, (_, i) => row * size + i + 1));
      });
      expect(() => rows.read(count, target, 1)).toThrow(`there is no row ${count}`);
      writer.discard();
    }),
    { numRuns: 25 },
  );
});
