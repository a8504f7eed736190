import { describe, expect, it } from "@jest/globals";
import { readFlags } from "./flags.ts";

const read = (...args: string[]) => readFlags(["--runtime-image=example/runtime:1", ...args], {});

describe("the operator's flags", () => {
  it("ask for modest requests and any node unless they say more", () => {
    expect(read().config).toEqual({
      runtimeImage: "example/runtime:1",
      requests: { cpu: "100m", memory: "256Mi" },
      nodeSelector: {},
      architectures: [],
      imagePullSecrets: [],
      energy: [],
      allowedHosts: [],
    });
  });

  it("take the name of the process from where it runs", () => {
    expect(read("--identity=operator-0.6c1f").identity).toBe("operator-0.6c1f");
    expect(read().identity).toBeUndefined();
  });

  it("set the defaults of generated pods, each as often as needed", () => {
    const { config } = read(
      "--request=cpu=1",
      "--request=memory=1Gi",
      "--node-selector=kubernetes.io/os=linux",
      "--architecture=amd64",
      "--architecture=arm64",
      "--image-pull-secret=registry",
      "--allowed-host=files.lab",
      "--proxy=http://proxy.lab:3128",
      "--proxy-exclude=.svc",
      "--proxy-exclude=store.lab",
    );
    expect(config).toMatchObject({
      requests: { cpu: "1", memory: "1Gi" },
      nodeSelector: { "kubernetes.io/os": "linux" },
      architectures: ["amd64", "arm64"],
      imagePullSecrets: ["registry"],
      allowedHosts: ["files.lab"],
      proxy: { url: "http://proxy.lab:3128", exclude: [".svc", "store.lab"] },
    });
  });

  it.each([
    ["--request=cpu", "--request cpu is not of the form NAME=AMOUNT"],
    ["--node-selector=linux", "--node-selector linux is not of the form KEY=VALUE"],
    ["--architecture=x86/64", "--architecture x86/64 is no name; use lower-case letters"],
    ["--image-pull-secret=My_Secret", "--image-pull-secret My_Secret is no name"],
    ["--energy=pue=0.5", "--energy pue=0.5: give a number from 1 to 5"],
    ["--proxy=http://me:secret@proxy", "--proxy is not of the form http://HOST:PORT; credentials"],
    ["--health-port=70000", "--health-port 70000 is no port; give a number from 0"],
    ["--log-level=loud", "--log-level loud is none of error, warn, info, debug; choose one"],
  ])("refuse %s and say how to put it right", (flag, message) => {
    expect(() => read(flag)).toThrow(message);
  });
});
