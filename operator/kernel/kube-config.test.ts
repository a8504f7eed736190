import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KubeConfigError, loadConnection } from "./kube-config.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "kube-config-"));
});

afterEach(() => rm(folder, { recursive: true }));

const base64 = (text: string) => Buffer.from(text).toString("base64");

async function kubeconfig(user: string, cluster = `server: "https://one.test:6443/"`): Promise<string> {
  const path = join(folder, "config");
  const text = `
current-context: one
clusters: [{name: c, cluster: {${cluster}, certificate-authority-data: "${base64("CA")}"}}]
users: [{name: u, user: {${user}}}, {name: other, user: {token: other-token}}]
contexts:
- {name: one, context: {cluster: c, user: u, namespace: ns}}
- {name: two, context: {cluster: c, user: other}}
- {name: broken, context: {cluster: none, user: u}}
`;
  await writeFile(path, text);
  return path;
}

describe("a connection", () => {
  it("comes from a kubeconfig with client certificates, inline or in files beside it", async () => {
    await writeFile(join(folder, "key.pem"), "KEY");
    const user = `client-certificate-data: "${base64("CERT")}", client-key: key.pem`;
    const connection = await loadConnection({ kubeconfig: await kubeconfig(user) });
    expect(connection).toMatchObject({ server: "https://one.test:6443", namespace: "ns" });
    expect(await connection.tls()).toMatchObject({ ca: "CA", cert: "CERT", key: "KEY" });
    expect(await connection.authorization()).toBeUndefined();
    expect(await connection.tls()).toBe(await connection.tls());
  });

  it("takes the context that is asked for, and its token", async () => {
    const connection = await loadConnection({ kubeconfig: await kubeconfig("token: t"), context: "two" });
    expect(connection.namespace).toBe("default");
    expect(await connection.authorization()).toBe("Bearer other-token");
  });

  it("reads a token file again when its token was refused", async () => {
    await writeFile(join(folder, "token"), "first\n");
    const connection = await loadConnection({ kubeconfig: await kubeconfig("tokenFile: token") });
    await writeFile(join(folder, "token"), "second\n");
    expect(await connection.authorization()).toBe("Bearer first");
    expect(await connection.authorization(true)).toBe("Bearer second");
  });

  it("asks the program that a kubeconfig names for its user", async () => {
    const script = `console.log(JSON.stringify({apiVersion:"client.authentication.k8s.io/v1",kind:"ExecCredential",status:{token:"from-program"}}))`;
    const args = JSON.stringify(["-e", script]);
    const user = `exec: {apiVersion: client.authentication.k8s.io/v1, command: "${process.execPath}", args: ${args}, interactiveMode: Never}`;
    const connection = await loadConnection({ kubeconfig: await kubeconfig(user) });
    expect(await connection.authorization()).toBe("Bearer from-program");
    expect((await connection.tls()).ca).toBe("CA");
  }, 20_000);

  it("is the pod's own in a pod", async () => {
    for (const [name, text] of Object.entries({ token: "pod-token", "ca.crt": "POD-CA", namespace: "pod-ns" })) {
      await writeFile(join(folder, name), text);
    }
    const environment = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" };
    const connection = await loadConnection({ environment, serviceAccountFolder: folder });
    expect(connection).toMatchObject({ server: "https://[fd00::1]:6443", namespace: "pod-ns" });
    expect(await connection.authorization()).toBe("Bearer pod-token");
    expect(await connection.tls()).toEqual({ ca: "POD-CA" });
  });

  it.each([
    ["a file that is not there", { kubeconfig: "/nowhere/config" }, "cannot read the kubeconfig at /nowhere/config"],
    ["a context that is not there", { context: "three" }, "has no context named three"],
    ["a cluster that is not there", { context: "broken" }, "has no cluster named none"],
  ])("fails for %s, naming it", async (_name, options, message) => {
    const loading = loadConnection({ kubeconfig: await kubeconfig("token: t"), ...options });
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toBeInstanceOf(KubeConfigError);
  });

  it("refuses a proxy, rather than going around it", async () => {
    const path = await kubeconfig("token: t", `server: "https://one.test", proxy-url: "http://proxy.test"`);
    await expect(loadConnection({ kubeconfig: path })).rejects.toThrow("proxy-url is not supported");
  });
});
