import { describe, expect, it } from "@jest/globals";
import { KINDS, validateManifest } from "./kinds.ts";
import { RIGHT, WRONG, wrongManifest } from "./testing/manifests.ts";

describe("validateManifest", () => {
  it.each(KINDS.map(({ kind }) => kind))("accepts a %s and fills in its defaults", (kind) => {
    const validated = validateManifest<{ spec: { suspend: boolean; runtime: { engine: string } } }>(
      RIGHT[kind]?.({}, "digits"),
    );
    if (!validated.ok) throw new Error(JSON.stringify(validated.errors));
    expect(validated.value.spec).toMatchObject({ suspend: false, runtime: { engine: "Auto" } });
  });

  it.each(WRONG)("refuses $what and names $field", (wrong) => {
    const validated = validateManifest(wrongManifest(wrong));
    if (validated.ok) throw new Error("it was accepted");
    const fields = validated.errors.map(({ field }) => field);
    expect(fields.some((field) => field.startsWith(wrong.field))).toBe(true);
    if (wrong.says !== undefined) expect(validated.errors.map(({ message }) => message).join()).toContain(wrong.says);
  });

  it("refuses fields that it does not know", () => {
    const validated = validateManifest(RIGHT["ModelDeployment"]?.({ replicas: 3 }, "digits"));
    expect(validated).toMatchObject({
      ok: false,
      errors: [{ field: "spec", message: expect.stringContaining("replicas") }],
    });
  });

  it("names the kinds that there are when the kind is another", () => {
    const validated = validateManifest({ apiVersion: "v1", kind: "Pod", metadata: { name: "a" } });
    expect(validated).toMatchObject({
      ok: false,
      errors: [{ field: "kind", message: expect.stringContaining("TrainingJob") }],
    });
  });

  it.each([undefined, null, 7, "text", [], {}])("refuses %p without failing itself", (manifest) => {
    expect(validateManifest(manifest).ok).toBe(false);
  });
});
