import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linear, writeLinearModel, writePairModel } from "../../runtime/serving/testing/models.ts";
import { LOOPBACK, Program, type Server, closePrograms, startServer } from "../../runtime/serving/testing/program.ts";
import { ask, parsed } from "./http.ts";

const WASM = ["--engine", "Wasm", "--drain-delay", "0"];

let scratch = "";
let server: Server;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "conformance-repository-"));
  await writeLinearModel(join(scratch, "models", "linear", "1"));
  await writeLinearModel(join(scratch, "models", "linear", "12"));
  await writePairModel(join(scratch, "models", "pair"));
  await mkdir(join(scratch, "models", "broken"), { recursive: true });
  await writeFile(join(scratch, "models", "broken", "model.json"), "{");
  await writeLinearModel(join(scratch, "elsewhere"));
  await writeLinearModel(join(scratch, "labelled", "linear"));
  const dir = join(scratch, "models");
  const named = ["--model", `named=${join(scratch, "elsewhere")}`];
  const labels = ["--label", "linear:stable=12", "--label", "pair:stable=1"];
  server = await startServer([dir, ...named, ...labels, ...WASM, "--repository-control"]);
}, 60_000);

afterAll(async () => {
  await closePrograms();
  await rm(scratch, { recursive: true, force: true });
});

const BODY = JSON.stringify({ instances: [[1, 2, 3, 4]] });
const predict = (path: string) => ask(`${server.url}/v1/models/${path}:predict`, { body: BODY });
const post = (path: string, body: string) => ask(`${server.url}/v2/repository/${path}`, { method: "POST", body });
interface Row {
  name: string;
  version: string;
  state: string;
  reason: string;
}
const index = async (body = "") => parsed(await post("index", body)) as Row[];

describe("a server of several models and versions", () => {
  it("serves all that can be loaded and lists the rest with its reason", async () => {
    const rows = await index();
    expect(rows.map(({ name, version, state }) => `${name}/${version} ${state}`)).toEqual([
      "broken/1 UNAVAILABLE",
      "linear/1 READY",
      "linear/12 READY",
      "pair/1 READY",
      "named/1 READY",
    ]);
    expect(rows[0]?.reason).toMatch(/^ModelUnsupported: .*broken/);
    expect((await index('{"ready": true}')).map(({ name }) => name)).toEqual(["linear", "linear", "pair", "named"]);
    expect(parsed(await ask(`${server.url}/v2/models`))).toEqual({ models: ["broken", "linear", "pair", "named"] });
    expect((await ask(`${server.url}/v2/health/ready`)).status).toBe(200);
  });

  it("answers with the newest version, or with the one that is asked for", async () => {
    for (const path of ["linear", "linear/versions/1", "linear/versions/12", "named"]) {
      expect(parsed(await predict(path))).toEqual({ predictions: [linear([1, 2, 3, 4])] });
    }
    const missing = await predict("linear/versions/2");
    expect([missing.status, parsed(missing)]).toEqual([
      404,
      { error: "Servable not found for request: Specific(linear, 2)" },
    ]);
    expect(parsed(await ask(`${server.url}/v1/models/linear`))).toMatchObject({
      model_version_status: [
        { version: "12", state: "AVAILABLE" },
        { version: "1", state: "AVAILABLE" },
      ],
    });
    expect(parsed(await ask(`${server.url}/v1/models/linear/metadata`))).toMatchObject({
      model_spec: { version: "12" },
    });
    expect(parsed(await ask(`${server.url}/v2/models/linear`))).toMatchObject({ versions: ["1", "12"] });
    expect((await ask(`${server.url}/v2/models/linear/versions/3`)).status).toBe(404);
  });

  it("answers with the version that a label names", async () => {
    expect(parsed(await predict("linear/labels/stable"))).toEqual({ predictions: [linear([1, 2, 3, 4])] });
    expect(parsed(await ask(`${server.url}/v1/models/linear/labels/stable`))).toMatchObject({
      model_version_status: [{ version: "12", state: "AVAILABLE" }],
    });
    expect(parsed(await ask(`${server.url}/v1/models/linear/labels/stable/metadata`))).toMatchObject({
      model_spec: { version: "12" },
    });
    const unknown = await predict("linear/labels/canary");
    expect([unknown.status, parsed(unknown)]).toEqual([400, { error: "Unrecognized servable version label: canary" }]);
  });

  it("tells of what it could not load, and answers 503 for it", async () => {
    expect((await predict("broken")).status).toBe(503);
    expect((await ask(`${server.url}/v2/models/broken/ready`)).status).toBe(503);
    expect(parsed(await ask(`${server.url}/v1/models/broken`))).toMatchObject({
      model_version_status: [{ version: "1", state: "END", status: { error_code: "UNKNOWN" } }],
    });
  });

  it("loads a version that was added, unloads one that was removed, and mends one that was broken", async () => {
    await cp(join(scratch, "models", "linear", "1"), join(scratch, "models", "linear", "13"), { recursive: true });
    await rm(join(scratch, "models", "linear", "1"), { recursive: true });
    expect((await post("models/linear/load", "")).status).toBe(200);
    expect((await index()).filter(({ name }) => name === "linear").map(({ version }) => version)).toEqual(["12", "13"]);
    expect((await predict("linear/versions/13")).status).toBe(200);
    expect((await predict("linear/versions/1")).status).toBe(404);
    const failed = await post("models/broken/load", "");
    expect([failed.status, parsed(failed)]).toEqual([
      400,
      { error: expect.stringMatching(/^failed to load 'broken': ModelUnsupported/) },
    ]);
    await writeLinearModel(join(scratch, "models", "broken"));
    expect((await post("models/broken/load", "{}")).status).toBe(200);
    expect((await predict("broken")).status).toBe(200);
  }, 30_000);

  it("unloads a model and loads it again", async () => {
    expect((await post("models/pair/unload", '{"parameters":{"unload_dependents":false}}')).status).toBe(200);
    expect((await ask(`${server.url}/v2/models/pair/ready`)).status).toBe(503);
    expect(await index()).toContainEqual({ name: "pair", version: "1", state: "UNAVAILABLE", reason: "unloaded" });
    expect((await post("models/pair/load", "")).status).toBe(200);
    expect((await ask(`${server.url}/v2/models/pair/ready`)).status).toBe(200);
  }, 30_000);

  it.each([
    ["index", '{"ready": 1}', 400, "Invalid value for 'ready': expected a boolean"],
    ["index", "{", 400, "not valid JSON"],
    ["models/nothing/load", "", 404, "there is no model 'nothing'"],
    ["models/nothing/unload", "", 404, "there is no model 'nothing'"],
  ])("refuses %s with %j", async (path, body, status, message) => {
    const answer = await post(path, body);
    expect([answer.status, parsed(answer)]).toEqual([status, { error: expect.stringContaining(message) }]);
  });
});

describe("a server that clients do not control", () => {
  it("refuses to load and unload", async () => {
    const guarded = await startServer([join(scratch, "elsewhere"), "--engine", "Wasm", "--drain-delay", "0"]);
    for (const action of ["load", "unload"]) {
      const answer = await ask(`${guarded.url}/v2/repository/models/elsewhere/${action}`, { method: "POST", body: "" });
      expect([answer.status, parsed(answer)]).toEqual([
        403,
        { error: expect.stringContaining("--repository-control") },
      ]);
    }
  }, 30_000);
});

describe("labels of what is not there", () => {
  it.each([
    ["linear:stable=7", "label stable names version 7 of model linear; it has 1"],
    ["nothing:stable=1", "label stable names version 1 of model nothing; there is no such model"],
    ["linear=1", "--label: linear=1 is not of the form MODEL:LABEL=VERSION"],
  ])(
    "are refused at the start: %s",
    async (label, why) => {
      const program = new Program([join(scratch, "labelled"), "--label", label, ...WASM, ...LOOPBACK]);
      expect(await program.line("serving failed")).toMatchObject({ error: expect.stringContaining(why) });
      expect(await program.exited).toBe(64);
    },
    30_000,
  );
});
