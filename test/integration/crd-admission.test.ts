import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { RIGHT, WRONG, wrongManifest } from "../../crds/testing/manifests.ts";
import { type ApiServer, startApiServer } from "../cluster/apiserver.ts";
import { installCrds } from "./operator/bed.ts";
import { type Manifest, Space } from "./operator/objects.ts";

let server: ApiServer;
let space: Space;

beforeAll(async () => {
  server = await startApiServer();
  await installCrds(server.api);
  space = new Space(server.api, await server.namespace());
}, 90_000);
afterAll(async () => server.stop());

function manifest(kind: string, spec: Record<string, unknown>, name: string): Manifest {
  const make = RIGHT[kind];
  if (make === undefined) throw new Error(`no manifest of ${kind}`);
  return make(spec, name);
}

describe("the API server", () => {
  it.each(Object.keys(RIGHT))("accepts a %s, fills in defaults and says that nobody has seen it yet", async (kind) => {
    const stored = await space.create(manifest(kind, {}, "right"));
    expect(stored).toMatchObject({
      spec: { suspend: false, runtime: { engine: "Auto" } },
      status: { observedGeneration: -1 },
    });
  });

  it.each(WRONG)("refuses $what and names $field", async (wrong) => {
    const refusal: unknown = await space.create(wrongManifest(wrong)).catch((error: unknown) => error);
    if (!(refusal instanceof Error)) throw new Error("it was accepted");
    // A rule of the root names the field in its message.
    expect(refusal.message).toContain(wrong.field);
    if (wrong.says !== undefined) expect(refusal.message).toContain(wrong.says);
    expect(refusal).toMatchObject({ status: 422 });
  });

  it("refuses an unknown field when it is asked to be strict, as kubectl does", async () => {
    const path = `${space.path("modeldeployments")}?fieldValidation=Strict`;
    const unknown = manifest("ModelDeployment", { replicas: 3 }, "unknown");
    await expect(server.api.post(path, unknown)).rejects.toThrow(/unknown field "spec.replicas"/);
  });
});
