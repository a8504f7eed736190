/** The held-out digits, and what a served model says of them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gallery, picture } from "./screen.ts";

export const DIGITS = join(import.meta.dirname, "..", "digits");
const SIDE = 8;
const BRIGHTEST = 16;

export interface Digit {
  pixels: number[];
  label: number;
}

/** All examples of a CSV file: 64 pixels and the label in each line after the header. */
export async function readDigits(file: string): Promise<Digit[]> {
  const [, ...lines] = (await readFile(file, "utf8")).trim().split("\n");
  return lines.map((line) => {
    const numbers = line.split(",").map(Number);
    return { pixels: numbers.slice(0, SIDE * SIDE), label: numbers[SIDE * SIDE] ?? Number.NaN };
  });
}

/** The class with the highest score for each of `digits`, from TF Serving's predict call. */
export async function predict(base: string, model: string, digits: readonly Digit[]): Promise<number[]> {
  const response = await fetch(`${base}/v1/models/${model}:predict`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ instances: digits.map((digit) => digit.pixels) }),
  });
  if (!response.ok) throw new Error(`the model answered ${response.status}: ${await response.text()}`);
  const { predictions } = (await response.json()) as { predictions: number[][] };
  return predictions.map((scores) => scores.indexOf(Math.max(...scores)));
}

/** Pictures of `digits` with true and predicted class. */
export function showPredictions(digits: readonly Digit[], predicted: readonly number[]): string {
  return gallery(
    digits.map(({ pixels, label }, i) => ({
      lines: picture(pixels, SIDE, BRIGHTEST),
      caption: `true ${label}, said ${predicted[i]}`,
      good: predicted[i] === label,
    })),
    SIDE * 2,
  );
}

/** Share of `digits` that were predicted right. */
export function accuracy(digits: readonly Digit[], predicted: readonly number[]): number {
  return digits.filter(({ label }, i) => predicted[i] === label).length / digits.length;
}

/** One example of each class, the first in the file. */
export function oneOfEach(digits: readonly Digit[]): Digit[] {
  const first = new Map<number, Digit>();
  for (const digit of digits) if (!first.has(digit.label)) first.set(digit.label, digit);
  return [...first.entries()].sort(([a], [b]) => a - b).map(([, digit]) => digit);
}
