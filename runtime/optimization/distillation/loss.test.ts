import "../../engine/test-realm.ts";
import { type Tf, openBackend } from "../../engine/backend.ts";
import { distillationLoss, softLoss } from "./loss.ts";

describe.each(["TensorFlow", "Wasm"] as const)("On %s, what a student learns from its teacher", (engine) => {
  let tf: Tf;

  beforeAll(async () => {
    ({ tf } = await openBackend(engine));
  });

  const at = (temperature: number) =>
    softLoss(tf, "Classes", tf.tensor2d([[2, 1, 0.1]]), tf.tensor2d([[1.5, 1.2, 0.3]]), temperature).dataSync()[0] ??
    NaN;

  it("is the divergence of softened answers, times the temperature squared", () => {
    expect(at(1)).toBeCloseTo(0.0582065891, 6);
    expect(at(3)).toBeCloseTo(0.0598609755, 6);
    expect(at(4)).toBeCloseTo(0.0588962117, 5);
    // Towards sum((d - mean d)^2) / (2 C), where d is the difference of the logits; float32 holds no larger T.
    expect(Math.abs(at(30) - 0.0544444)).toBeLessThan(0.002);
  });

  it("is mixed with the loss on the labels by alpha", () => {
    const mixed = distillationLoss(tf, 0.5, tf.scalar(0.0598609755), tf.scalar(0.7139358082));
    expect(mixed.dataSync()[0]).toBeCloseTo(0.3868983918, 6);
    expect(distillationLoss(tf, 0.9, tf.scalar(1), tf.scalar(0)).dataSync()[0]).toBeCloseTo(0.9, 6);
  });

  it("is exactly zero for equal answers", () => {
    const logits = tf.tensor2d([
      [5, -3, 0.5],
      [1, 1, 1],
    ]);
    for (const kind of ["Classes", "Binary", "Values"] as const) {
      expect(softLoss(tf, kind, logits, logits.clone(), 3).dataSync()[0]).toBe(0);
    }
  });

  it("takes one logit as that of two classes, and numbers as they are", () => {
    const binary = softLoss(tf, "Binary", tf.tensor2d([[0.7]]), tf.tensor2d([[-0.2]]), 2).dataSync()[0];
    const classes = softLoss(tf, "Classes", tf.tensor2d([[0.7, 0]]), tf.tensor2d([[-0.2, 0]]), 2).dataSync()[0];
    expect(binary).toBeCloseTo(classes ?? NaN, 7);
    expect(softLoss(tf, "Values", tf.tensor2d([[1, 3]]), tf.tensor2d([[2, 1]]), 3).dataSync()[0]).toBeCloseTo(2.5, 6);
  });
});
