import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linear, writeLinearModel, writePairModel } from "../../runtime/serving/testing/models.ts";
import { closePrograms, startServer } from "../../runtime/serving/testing/program.ts";
import { runPython } from "./python-clients.ts";

let scratch = "";
let results: Record<string, Record<string, unknown>> = {};
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "conformance-clients-"));
  await writeLinearModel(join(scratch, "linear"));
  await writePairModel(join(scratch, "pair"));
  const server = await startServer([scratch, "--engine", "Wasm", "--repository-control", "--drain-delay", "0"]);
  const ports = [String(server.port), String(server.grpcPort)];
  const answers = await Promise.all([runPython("triton_clients.py", ports), runPython("kserve_clients.py", ports)]);
  results = Object.assign({}, ...answers);
}, 300_000);

afterAll(async () => {
  await closePrograms();
  await rm(scratch, { recursive: true, force: true });
});

const ROWS = [[1, 2, 3, 4], [-1, 0.5, 0, 8]].map(linear); // prettier-ignore

describe.each(["tritonHttp", "tritonHttpGzip", "tritonGrpc", "tritonGrpcGzip"])("tritonclient (%s)", (name) => {
  it("finds the server and its models", () => {
    expect(results[name]).toMatchObject({ live: true, ready: true, model: true, version: true });
    expect(results[name]).toMatchObject({ index: ["linear", "pair"], unloaded: false, loaded: true });
    expect(results[name]?.["metadata"]).toMatchObject({ name: "linear", platform: "tensorflow_tfjslayers" });
  });

  it("infers, by bytes, at once and later, with several inputs and chosen outputs", () => {
    expect(results[name]).toMatchObject({ linear: ROWS, later: ROWS, pair: [[23], [7]], withoutOthers: true });
  });

  it("is told that a model is unknown", () => {
    expect(results[name]?.["unknown"]).toContain("Request for unknown model: 'nothing' is not found");
  });
});

describe("kserve's InferenceRESTClient", () => {
  it("predicts by V1", () => {
    expect(results["v1"]).toEqual({ linear: ROWS, ready: true });
  });

  it("infers by V2, as JSON and as bytes", () => {
    expect(results["v2"]).toEqual({ id: "9", linear: ROWS, binary: ROWS, live: true, ready: true, model: true });
  });
});
