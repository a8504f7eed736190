const common = {
  extensionsToTreatAsEsm: [".ts"],
  transform: {
    "\\.ts$": ["@swc/jest", { jsc: { target: "es2024", parser: { syntax: "typescript" } }, module: { type: "es6" } }],
  },
  testEnvironment: "node",
  testPathIgnorePatterns: ["/node_modules/", "<rootDir>/dist/"],
  modulePathIgnorePatterns: ["<rootDir>/dist/"],
};

/** unit: in this process. integration: real programs and a real API server. e2e: a real node with real pods. */
export default {
  // A limit is there to end what hangs: a busy machine is slow, and nothing is measured by it.
  testTimeout: 60_000,
  projects: [
    {
      ...common,
      displayName: "unit",
      testMatch: ["<rootDir>/{crds,operator,runtime,images,test/cluster}/**/*.test.ts"],
    },
    { ...common, displayName: "integration", testMatch: ["<rootDir>/test/{integration,conformance}/**/*.test.ts"] },
    { ...common, displayName: "e2e", testMatch: ["<rootDir>/test/e2e/**/*.test.ts"] },
  ],
};
