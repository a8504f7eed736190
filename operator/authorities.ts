/** Trusts more than the authority that a connection comes with. */
import { readFile } from "node:fs/promises";
import { type Connection, KubeConfigError, type TlsMaterial } from "./kernel/kube-config.ts";

/**
 * The connection, whose server may also be signed for by an authority in a PEM file. The file is read again when a
 * handshake fails. Throws KubeConfigError where it cannot be read or has no certificate.
 */
export async function withAuthorities(connection: Connection, file: string): Promise<Connection> {
  let bundle = await certificates(file);
  let known: { from: TlsMaterial; bundle: string; tls: TlsMaterial } | undefined;
  return {
    ...connection,
    tls: async (fresh = false) => {
      const from = await connection.tls(fresh);
      if (fresh) bundle = await certificates(file);
      // The same object for as long as nothing changed: connections are kept by it.
      if (known?.from !== from || known.bundle !== bundle) {
        const ca = from.ca ?? process.getBuiltinModule("node:tls").rootCertificates.join("\n");
        known = { from, bundle, tls: { ...from, ca: `${ca}\n${bundle}` } };
      }
      return known.tls;
    },
  };
}

async function certificates(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    const error = new KubeConfigError(`cannot read --ca-file ${file}: does it exist, and may this process read it?`);
    error.cause = cause;
    throw error;
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----")) {
    throw new KubeConfigError(`--ca-file ${file} has no certificate; it must be PEM, with BEGIN CERTIFICATE`);
  }
  return text;
}
