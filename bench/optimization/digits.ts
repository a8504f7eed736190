/** Real handwritten digits (examples/digits/data), enlarged by repeating pixels. */
import { readFile } from "node:fs/promises";
import type { Dataset } from "../../runtime/data/dataset.ts";

const OWN_EDGE = 8;
const WHITE = 16;

/** `edge`: pixels along an edge, a multiple of 8. Values are 0 to 1. */
export async function readDigits(name: "train" | "test", edge: number): Promise<Dataset> {
  const text = await readFile(new URL(`../../examples/digits/data/${name}.csv`, import.meta.url), "utf8");
  const rows = text.trim().split("\n").slice(1);
  const values = rows.map((row) => row.split(",").map(Number));
  const times = edge / OWN_EDGE;
  const pixelOf = (row: number[], place: number) => {
    const [y, x] = [Math.floor(Math.floor(place / edge) / times), Math.floor((place % edge) / times)];
    return (row[y * OWN_EDGE + x] ?? 0) / WHITE;
  };
  const features = new Float32Array(rows.length * edge * edge);
  for (const [index, row] of values.entries()) {
    for (let place = 0; place < edge * edge; place++) features[index * edge * edge + place] = pixelOf(row, place);
  }
  return {
    features,
    labels: Float32Array.from(values, (row) => row[OWN_EDGE * OWN_EDGE] ?? NaN),
    exampleShape: [edge, edge, 1],
    count: rows.length,
    source: name,
  };
}
