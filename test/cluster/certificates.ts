import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.ts";

const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
const lifetime = ["-days", "3650"];

/** A certificate to issue: its file name, its subject (`/O=group/CN=user`) and its extensions, one a line. */
export type Certificate = {
  name: string;
  subject: string;
  extensions: string[];
};

export const client = (name: string, subject: string): Certificate => ({
  name,
  subject,
  extensions: ["extendedKeyUsage=clientAuth"],
});

/** A certificate authority in a folder: `<name>.crt` and `<name>.key`. Everything there is made once and then kept. */
export class Authority {
  readonly folder: string;
  readonly name: string;

  constructor(folder: string, name: string) {
    this.folder = folder;
    this.name = name;
  }

  /** Path of a file in the folder, such as `ca.crt`. */
  path(file: string): string {
    return join(this.folder, file);
  }

  async create(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    if (existsSync(this.path(`${this.name}.crt`))) return;
    const files = ["-keyout", this.path(`${this.name}.key`), "-out", this.path(`${this.name}.crt`)];
    await openssl(["req", "-x509", ...key, ...files, ...lifetime, "-subj", `/CN=modelwright-${this.name}`]);
  }

  async issue({ name, subject, extensions }: Certificate): Promise<void> {
    const out = this.path(`${name}.crt`);
    if (existsSync(out)) return;
    const request = this.path(`${name}.csr`);
    const extensionFile = this.path(`${name}.ext`);
    await openssl(["req", ...key, "-keyout", this.path(`${name}.key`), "-out", request, "-subj", subject]);
    await writeFile(extensionFile, `${extensions.join("\n")}\n`);
    const signer = [
      "-CA",
      this.path(`${this.name}.crt`),
      "-CAkey",
      this.path(`${this.name}.key`),
      "-set_serial",
      serial(),
    ];
    await openssl(["x509", "-req", "-in", request, ...signer, ...lifetime, "-extfile", extensionFile, "-out", out]);
    await Promise.all([rm(request), rm(extensionFile)]);
  }

  /** The pair of keys that signs and verifies the tokens of ServiceAccounts: `sa.key`, `sa.pub`. */
  async serviceAccountKeys(): Promise<void> {
    if (existsSync(this.path("sa.pub"))) return;
    await openssl(["genrsa", "-out", this.path("sa.key"), "2048"]);
    await openssl(["rsa", "-in", this.path("sa.key"), "-pubout", "-out", this.path("sa.pub")]);
  }
}

async function openssl(args: string[]): Promise<void> {
  await command("openssl", args);
}

function serial(): string {
  return `0x${crypto.randomUUID().replaceAll("-", "")}`;
}
