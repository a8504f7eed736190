import { join } from "node:path";
import { closePrograms, type Server, startServer } from "../../runtime/serving/testing/program.ts";
import { ask, parsed } from "./http.ts";

/** Made by TensorFlow: half_plus_two and half_plus_three, as in the documentation. */
const MODELS = join(import.meta.dirname, "../corpus/saved-models");

/** What `curl URL` and `curl -d BODY -X POST URL` send. */
const CURL = { "User-Agent": "curl/7.88.1", Accept: "*/*" };
const FORM = { ...CURL, "Content-Type": "application/x-www-form-urlencoded" };

let server: Server;
beforeAll(async () => {
  const models = ["half_plus_two", "half_plus_three"].map((name) => `--model=${name}=${join(MODELS, name)}`);
  server = await startServer([...models, "--allow-saved-model", "--drain-delay", "0"]);
}, 60_000);
afterAll(closePrograms);

const get = (path: string) => ask(`${server.url}${path}`, { headers: CURL });
const post = (path: string, body: string) => ask(`${server.url}${path}`, { body, headers: FORM });

describe("TensorFlow Serving's documentation, tried with its models", () => {
  it("docker.md: half_plus_two predicts rows", async () => {
    const answer = await post("/v1/models/half_plus_two:predict", '{"instances": [1.0, 2.0, 5.0]}');
    expect([answer.status, parsed(answer)]).toEqual([200, { predictions: [2.5, 3, 4.5] }]);
  });

  it("api_rest.md: the status of half_plus_three", async () => {
    expect(parsed(await get("/v1/models/half_plus_three"))).toMatchObject({
      model_version_status: [{ version: "123", state: "AVAILABLE", status: { error_code: "OK", error_message: "" } }],
    });
  });

  it("api_rest.md: the metadata of half_plus_three", async () => {
    expect(parsed(await get("/v1/models/half_plus_three/metadata"))).toMatchObject({
      model_spec: { name: "half_plus_three", version: "123" },
      metadata: {
        signature_def: {
          signature_def: {
            serving_default: { inputs: { x: { dtype: "DT_FLOAT", tensor_shape: { dim: [{ size: "-1" }] } } } },
          },
        },
      },
    });
  });

  it("api_rest.md: half_plus_three predicts rows", async () => {
    const answer = await post("/v1/models/half_plus_three:predict", '{"instances": [1.0,2.0,5.0]}');
    expect(answer.body.toString()).toBe('{"predictions":[3.5,4.0,5.5]}');
  });

  it("predicts by columns, and by the version that is named", async () => {
    const columns = '{"signature_name": "serving_default", "inputs": [3.0, 4.0]}';
    expect(parsed(await post("/v1/models/half_plus_two/versions/123:predict", columns))).toEqual({ outputs: [3.5, 4] });
    expect((await post("/v1/models/half_plus_two/versions/124:predict", columns)).status).toBe(404);
  });

  it("api_rest.md: half_plus_three regresses examples by the signature that is named", async () => {
    const body = '{"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}';
    const answer = await post("/v1/models/half_plus_three:regress", body);
    expect(parsed(answer)).toEqual({ results: [3.5, 4] });
    const both = await Promise.all([
      post("/v1/models/half_plus_three:regress", body),
      post("/v1/models/half_plus_three:predict", '{"instances": [1.0]}'),
    ]);
    expect(both.map(parsed)).toEqual([{ results: [3.5, 4] }, { predictions: [3.5] }]);
    const unknown = await post("/v1/models/half_plus_three:predict", '{"signature_name": "other", "instances": [1.0]}');
    expect([unknown.status, parsed(unknown)]).toEqual([
      400,
      { error: 'Serving signature name: "other" not found in signature def' },
    ]);
  });
});
