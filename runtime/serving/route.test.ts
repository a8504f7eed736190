import { RequestError } from "./request-error.ts";
import { matchRoute } from "./route.ts";

function refusal(method: string, path: string): RequestError {
  try {
    matchRoute(method, path);
  } catch (error) {
    if (error instanceof RequestError) return error;
  }
  throw new Error(`${method} ${path} was not refused`);
}

describe("routes", () => {
  it.each([
    ["POST", "/v1/models/m:predict", { call: "predict", model: "m" }],
    ["POST", "/V1/MODELS/M:PREDICT", { call: "predict", model: "M" }],
    ["POST", "/v1/models/m/versions/007:predict", { call: "predict", model: "m", version: "7" }],
    ["POST", "/v1/models/a%2Fb.c:predict", { call: "predict", model: "a/b.c" }],
    ["POST", "/v1/models/m/labels/st%41ble:predict", { call: "predict", model: "m", label: "stAble" }],
    ["POST", "/v1/models/m:Regress", { call: "regress", model: "m" }],
    ["POST", "/v1/models/m:classify", { call: "classify", model: "m" }],
    ["GET", "/v1/models/m/labels/stable/metadata", { call: "predictMetadata", model: "m", label: "stable" }],
    ["POST", "/v2/repository/index", { call: "repositoryIndex" }],
    ["POST", "/v2/repository/models/a%2Fb/load", { call: "repositoryLoad", model: "a/b" }],
    ["POST", "/v2/repository/models/m/unload", { call: "repositoryUnload", model: "m" }],
    ["GET", "/v1/models/m", { call: "status", model: "m" }],
    ["GET", "/v1/models/m/versions/1", { call: "status", model: "m", version: "1" }],
    ["GET", "/v1/models/m/metadata", { call: "predictMetadata", model: "m" }],
    ["HEAD", "/v1/models/m", { call: "status", model: "m" }],
    ["GET", "/v2", { call: "server" }],
    ["GET", "/v2/", { call: "server" }],
    ["GET", "/v2/models", { call: "models" }],
    ["GET", "/v2/health/live", { call: "live" }],
    ["GET", "/v2/health/ready", { call: "ready" }],
    ["GET", "/v2/models/m", { call: "modelMetadata", model: "m" }],
    ["GET", "/v2/models/m/versions/1", { call: "modelMetadata", model: "m", version: "1" }],
    ["GET", "/v2/models/m/ready", { call: "modelReady", model: "m" }],
    ["GET", "/v2/models/m/versions/1/ready", { call: "modelReady", model: "m", version: "1" }],
    ["POST", "/v2/models/m/infer", { call: "infer", model: "m" }],
    ["POST", "/v2/models/m/versions/1/infer", { call: "infer", model: "m", version: "1" }],
  ])("%s %s is a call", (method, path, route) => {
    expect(matchRoute(method, path)).toEqual(route);
  });

  it.each([
    ["GET", "/v1/foo"],
    ["POST", "/v1/foo"],
    ["POST", "/v1/models"],
    ["GET", "/v1/models/foo:predict"],
    ["POST", "/v1/models/foo/metadata"],
    ["POST", "/v1/models/foo/version/50:predict"],
    ["POST", "/v1/models/foo/versions/HELLO:regress"],
    ["POST", "/v1/models/foo/label/x:regress"],
    ["POST", "/v1/models/foo/versions/50/labels/x:regress"],
    ["GET", "/v1/models/debug/model_name"],
    ["DELETE", "/v1/models/foo"],
  ])("%s %s is malformed", (method, path) => {
    expect(refusal(method, path)).toMatchObject({ status: 400, message: `Malformed request: ${method} ${path}` });
  });

  it.each([
    ["GET", "/v1/models", 400, "Missing model name in request."],
    ["POST", "/v1/models/m/versions/18446744073709551615:predict", 400, "Failed to convert version:"],
    ["GET", "/v1/models/%ff", 400, "not URL-encoded"],
    ["GET", "/v3", 404, "nothing at /v3"],
    ["GET", "/v2/models/m/versions", 404, "nothing at"],
    ["GET", "/v2/constructor", 404, "nothing at"],
  ])("%s %s is answered with its status", (method, path, status, message) => {
    const error = refusal(method, path);
    expect(error.status).toBe(status);
    expect(error.message).toContain(message);
  });

  it.each([
    ["GET", "/v2/models/m/infer", "POST"],
    ["GET", "/v2/repository/index", "POST"],
    ["POST", "/v2/health/ready", "GET, HEAD"],
    ["PUT", "/v2/models/m", "GET, HEAD"],
  ])("%s %s names the methods that are allowed", (method, path, allowed) => {
    expect(refusal(method, path)).toMatchObject({ status: 405, headers: { Allow: allowed } });
  });
});
