import { readFile, writeFile } from "node:fs/promises";

export type Credentials = { certFile: string; keyFile: string } | { token: string };

/** Writes a self-contained kubeconfig (readable by its owner only) and returns its path. */
export async function writeKubeconfig(
  path: string,
  { url, caFile, user, credentials }: { url: string; caFile: string; user: string; credentials: Credentials },
): Promise<string> {
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "modelwright", cluster: { server: url, "certificate-authority-data": await base64(caFile) } }],
    users: [
      {
        name: user,
        user:
          "token" in credentials
            ? { token: credentials.token }
            : {
                "client-certificate-data": await base64(credentials.certFile),
                "client-key-data": await base64(credentials.keyFile),
              },
      },
    ],
    contexts: [{ name: "modelwright", context: { cluster: "modelwright", user } }],
    "current-context": "modelwright",
  };
  await writeFile(path, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  return path;
}

async function base64(file: string): Promise<string> {
  return (await readFile(file)).toString("base64");
}
