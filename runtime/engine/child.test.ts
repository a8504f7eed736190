import { crashOf, moduleBeside } from "./child.ts";

it("finds a module beside the caller with the caller's extension", () => {
  expect(moduleBeside("file:///app/cli/supervise.ts", "../worker").pathname).toBe("/app/worker.ts");
  expect(moduleBeside("file:///app/cli/supervise.js", "../worker").pathname).toBe("/app/worker.js");
});

it("calls a killed process out of memory, and says what to raise", () => {
  expect(crashOf({ code: null, signal: "SIGKILL" })).toMatchObject({ reason: "OutOfMemory" });
  expect(crashOf({ code: 137, signal: null }).message).toMatch(/resources.limits.memory/);
});

it("names the signal or exit code of any other crash", () => {
  expect(crashOf({ code: null, signal: "SIGSEGV" })).toMatchObject({ reason: "InternalError", exitCode: 70 });
  expect(crashOf({ code: null, signal: "SIGSEGV" }).message).toMatch(/SIGSEGV/);
  expect(crashOf({ code: 3, signal: null }).message).toMatch(/exit code 3/);
});
