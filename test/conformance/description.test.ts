/** What the server tells of itself to tools (OpenAPI) and to people (a page). */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { Window } from "happy-dom";
import { writeLinearModel, writePairModel } from "../../runtime/serving/testing/models.ts";
import { type Server, closePrograms, startServer, until } from "../../runtime/serving/testing/program.ts";
import { ask, parsed } from "./http.ts";

interface Media {
  readonly schema: object;
  readonly example?: unknown;
}
interface Operation {
  readonly summary: string;
  readonly requestBody?: { readonly content: { readonly "application/json": Media } };
  readonly responses: { readonly 200: { readonly content: { readonly "application/json": Media } } };
}
interface Document {
  readonly paths: Record<string, Record<string, Operation>>;
}

let scratch = "";
let server: Server;
let document: Document;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "conformance-description-"));
  await writeLinearModel(join(scratch, "models", "line ar"));
  await writePairModel(join(scratch, "models", "pair"));
  server = await startServer([join(scratch, "models"), "--engine", "Wasm", "--drain-delay", "0"]);
  document = parsed(await ask(`${server.url}/openapi.json`)) as Document;
}, 60_000);

afterAll(async () => {
  await closePrograms();
  await rm(scratch, { recursive: true, force: true });
});

describe("the OpenAPI document", () => {
  it("is valid by OpenAPI's own schema and has the models that serve", async () => {
    const { valid, errors } = await new Validator().validate({ ...document });
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(["/v1/models/line%20ar:predict", "/v2/models/pair/infer", "/v2/health/ready"]),
    );
  });

  it("has requests that fit their schemas and are answered as it says, as they stand", async () => {
    const ajv = new Ajv2020({ strict: false });
    const calls = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
    );
    expect(calls.length).toBeGreaterThan(15);
    for (const { path, method, operation } of calls) {
      const request = operation.requestBody?.content["application/json"];
      if (request !== undefined) {
        expect({ path, fits: ajv.validate(request.schema, request.example) }).toEqual({ path, fits: true });
      }
      const body = request === undefined ? undefined : JSON.stringify(request.example);
      const answer = await ask(server.url + path, {
        method: method.toUpperCase(),
        ...(body === undefined ? {} : { body }),
      });
      const fits = ajv.validate(operation.responses[200].content["application/json"].schema, parsed(answer));
      expect({ path, status: answer.status, fits, errors: ajv.errors }).toMatchObject({
        path,
        status: 200,
        fits: true,
      });
    }
  });

  it("refuses by its schemas what the server refuses", async () => {
    const ajv = new Ajv2020({ strict: false });
    const operation = document.paths["/v1/models/line%20ar:predict"]?.["post"];
    const schema = operation?.requestBody?.content["application/json"].schema ?? {};
    for (const [body, status] of [
      [{ instances: [[1, 2, 3, 4]] }, 200],
      [{ inputs: [[1, 2, 3, 4]] }, 200],
      [{ instances: [[1, 2, 3]] }, 400],
      [{ instances: [["a", 2, 3, 4]] }, 400],
      [{ instances: [] }, 400],
      [{ instances: [[1, 2, 3, 4]], inputs: [[1, 2, 3, 4]] }, 400],
      [{ instances: [[1, 2, 3, 4]], signature_name: "other" }, 400],
    ] as const) {
      const answer = await ask(`${server.url}/v1/models/line%20ar:predict`, { body: JSON.stringify(body) });
      expect([body, answer.status, ajv.validate(schema, body)]).toEqual([body, status, status === 200]);
    }
  });
});

describe("the page", () => {
  it("needs nothing from elsewhere, and lets nothing else in", async () => {
    const page = await ask(`${server.url}/docs`);
    expect(page.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(page.headers["content-security-policy"]).toMatch(/^default-src 'none'; .*connect-src 'self'/);
    expect(page.body.toString()).not.toMatch(/https?:|src=|@import|url\(/);
  });

  it("shows every call and sends the one that is asked for", async () => {
    const window = new Window({
      url: `${server.url}/docs`,
      settings: { enableJavaScriptEvaluation: true, suppressInsecureJavaScriptEnvironmentWarning: true },
    });
    const page = (await ask(`${server.url}/docs`)).body.toString();
    const script = /<script type="module">([^]*)<\/script>/.exec(page)?.[1] ?? "";
    window.document.write(page.replace(/<script[^]*<\/script>/, ""));
    window.eval(`(() => {${script}})()`);
    const boxes = () => [...window.document.querySelectorAll("details")];
    await until(
      "all calls are shown",
      () => boxes().length === Object.values(document.paths).flatMap(Object.keys).length,
    );
    const box = boxes().find((one) => one.textContent.includes("/v1/models/line%20ar:predict"));
    box?.querySelector("button")?.click();
    await until("it is answered", () => /"predictions"/.test(box?.querySelector("pre")?.textContent ?? ""));
    expect(box?.querySelector("pre")?.textContent).toMatch(/^200 in .* ms\n\{"predictions":\[\[0\.0,1\.0,2\.0\]\]\}$/);
    await window.happyDOM.close();
  });
});
