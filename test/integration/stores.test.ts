import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CreateBucketCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { parse, stringify } from "yaml";
import { API_VERSION } from "../../crds/common.ts";
import { ENV } from "../../crds/contract/names.ts";
import type { RunOutput } from "../../crds/contract/run.ts";
import type { Access } from "../../crds/location.ts";
import { removeCandidates, Workplace } from "../../runtime/optimization/workplace.ts";
import { readServeOptions } from "../../runtime/serving/options.ts";
import { linear, writeLinearModel } from "../../runtime/serving/testing/models.ts";
import { closePrograms, startServer } from "../../runtime/serving/testing/program.ts";
import { openArtefact } from "../../runtime/store/artefact.ts";
import { type ArtefactDescription, writeArtefact } from "../../runtime/store/artefact-writer.ts";
import { CheckpointStore, removeCheckpoints } from "../../runtime/store/checkpoint-store.ts";
import { listFiles } from "../../runtime/store/files.ts";
import type { Hold } from "../../runtime/store/mirror.ts";
import { type Output, withOutput } from "../../runtime/store/output.ts";
import { resolveInput } from "../../runtime/store/uri.ts";
import { Authority } from "../cluster/certificates.ts";
import { type RegistryServer, type S3Server, startRegistry, startS3 } from "../cluster/servers.ts";

const MAIN = fileURLToPath(new URL("../../runtime/main.ts", import.meta.url));
const MNIST = fileURLToPath(new URL("../../examples/mnist/", import.meta.url));
const DIGITS = fileURLToPath(new URL("../../examples/digits/", import.meta.url));

const DESCRIPTION: ArtefactDescription = {
  name: "net",
  format: "TfjsLayers",
  signature: { inputs: [], outputs: [] },
  parameters: 1,
  lineage: {
    job: { kind: "TrainingJob", namespace: "team", name: "net", uid: "1" },
    run: "net-abc",
    specHash: "abc",
    parents: [],
    software: {},
  },
  createdAt: "2026-01-01T00:00:00.000Z",
};

const writing = (output: Output, hold: Hold, file = "{}") =>
  writeArtefact(
    output.folder,
    async (staging) => {
      await writeFile(join(staging, "model.json"), file);
      return DESCRIPTION;
    },
    { shownAs: output.uri, fence: hold },
  );

const opened = (output: RunOutput) => withOutput(output, "", (each) => each.finished("abc"));

const fail = (step: number, why: string) => {
  throw new Error(`${step}: ${why}`);
};

let root: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "stores-"));
  process.env[ENV.credentials] = join(root, "credentials");
  process.env[ENV.caBundles] = join(root, "ca");
});

afterEach(closePrograms);

afterAll(() => rm(root, { recursive: true }));

/** A Secret as the kubelet mounts it. */
async function secret(secretName: string, data: Record<string, string>): Promise<Access["credentials"]> {
  const folder = join(root, "credentials", secretName);
  await mkdir(folder, { recursive: true });
  for (const [key, value] of Object.entries(data)) await writeFile(join(folder, key), value);
  return { secretName };
}

/** What a ModelDeployment of that model answers to rows. */
async function answersOf(uri: string, access: Access, instances: number[][]): Promise<unknown> {
  const manifest = {
    apiVersion: API_VERSION,
    kind: "ModelDeployment",
    metadata: { name: "net" },
    spec: { model: { uri, ...access }, runtime: { engine: "Wasm" } },
  };
  const file = join(root, "model-deployment.yaml");
  await writeFile(file, stringify(manifest));
  const { url } = await startServer(["-f", file], { NODE_OPTIONS: "" });
  const answer = await fetch(`${url}/v1/models/net:predict`, { method: "POST", body: JSON.stringify({ instances }) });
  return await answer.json();
}

const inRegistry = (version: string) => `oci://registry.lab/team/net${version}`;

const resolve = (uri: string, access: Access) => resolveInput(uri, join(root, "volumes"), access);

describe("An object store", () => {
  let server: S3Server;
  let access: Access;
  let client: S3Client;

  beforeAll(async () => {
    server = await startS3();
    const { url: endpoint, accessKeyId, secretAccessKey } = server;
    const keys = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: `${secretAccessKey}\n` };
    access = { endpoint, region: "us-east-1", credentials: await secret("s3", keys) };
    client = new S3Client({
      endpoint,
      region: "us-east-1",
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    await client.send(new CreateBucketCommand({ Bucket: "models" }));
    const objects = {
      "data/train.csv": "a,b\n1,2\n",
      "net/model.json": "{}",
      "net/parts/one.bin": "1",
      "bad/.hidden": "x",
      "digits/train.csv": await readFile(join(DIGITS, "data/train.csv"), "utf8"),
    };
    for (const [key, body] of Object.entries(objects)) await put(key, body);
  }, 300_000);

  afterAll(async () => {
    client.destroy();
    await server.stop();
  });

  const put = (Key: string, Body: string | Buffer) =>
    client.send(new PutObjectCommand({ Bucket: "models", Key, Body }));

  it.each(["s3", "gs"])("gives a file by %s://", async (scheme) => {
    const path = await resolve(`${scheme}://models/data/train.csv`, access);
    expect(path.endsWith("/train.csv")).toBe(true);
    expect(await readFile(path, "utf8")).toBe("a,b\n1,2\n");
  });

  it("gives a folder, once for each version of its files", async () => {
    const path = await resolve("s3://models/net", access);
    expect((await readdir(path, { recursive: true })).toSorted()).toEqual(["model.json", "parts", "parts/one.bin"]);
    expect(await resolve("s3://models/net", access)).toBe(path);
  });

  it.each<[string, string, string, number]>([
    ["what is not there", "s3://models/nothing", "InputMissing", 66],
    ["a bucket that is not there", "s3://other/nothing", "InputMissing", 66],
    ["names that are hidden", "s3://models/bad", "InvalidSpec", 64],
  ])("refuses %s", async (_, uri, reason, exitCode) => {
    await expect(resolve(uri, access)).rejects.toMatchObject({ reason, exitCode });
  });

  it("gives a training its data, and a server its model; keys are told nowhere", async () => {
    const data = { ...access, format: "Csv", label: "label" };
    const dataset = { train: { ...data, uri: "s3://models/digits/train.csv" } };
    const yaml = parse(await readFile(join(DIGITS, "training-job.yaml"), "utf8")) as { spec: object };
    const output = { uri: "pvc://models/remote" };
    const spec = { ...yaml.spec, dataset, output, epochs: 1, callbacks: {}, runtime: { engine: "Wasm" } };
    await mkdir(join(root, "volumes/models"), { recursive: true });
    await writeFile(join(root, "job.yaml"), stringify({ ...yaml, spec }));
    const train = ["train", "-f", join(root, "job.yaml"), "--volumes", join(root, "volumes")];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [MAIN, ...train], {
      env: { ...process.env, NODE_OPTIONS: "" },
    });
    expect(stdout + stderr).not.toContain(server.secretAccessKey);

    const [run = ""] = await readdir(join(root, "volumes/models/remote"));
    const folder = join(root, "volumes/models/remote", run);
    for (const file of await listFiles(folder)) await put(`served/${file}`, await readFile(join(folder, file)));
    const model = { uri: "s3://models/served", ...access };
    const job = { kind: "ServingRun", name: "a", namespace: "b", revision: "a-1", compute: { engine: "Auto" }, model };
    await writeFile(join(root, "serve.json"), JSON.stringify(job));
    const options = await readServeOptions(["--job", join(root, "serve.json")], process.env);
    const [found] = await options.models();
    const dir = found?.versions[0]?.dir ?? "";
    expect((await openArtefact(dir)).digest).toBe((await openArtefact(folder)).digest);
  }, 120_000);

  const runOf = (name: string) => ({ uri: `s3://models/out/${name}`, ...access });

  describe("as the output of a job", () => {
    it("has its states, candidates and artefact; who takes over goes on, and who was overtaken stops", async () => {
      const uri = "s3://models/out/net-abc";
      await withOutput(runOf("net-abc"), "", async (first) => {
        expect(await first.finished("abc")).toBeUndefined();
        const older = await first.take();
        const states = await CheckpointStore.open(first.folder, uri, older);
        for (const step of [1, 2, 3]) await states.save(step, { step }, [Float32Array.of(step)], 2);
        const workplace = await Workplace.open(first.folder, uri, older);
        await workplace.keep("0", async (files) => {
          await writeFile(join(files, "one.bin"), "1");
          return { failure: "no", seconds: 2 };
        });
        await expect(resolve(uri, access).then((dir) => openArtefact(dir))).rejects.toMatchObject({
          reason: "InputMissing",
        });

        await withOutput(runOf("net-abc"), "", async (second) => {
          expect(await second.finished("abc")).toBeUndefined();
          const newer = await second.take();
          await expect(states.save(4, {}, [], 2)).rejects.toMatchObject({ reason: "Superseded", exitCode: 75 });
          const found = await CheckpointStore.open(second.folder, uri, newer);
          expect(await found.newest(({ header, tensors }) => [header, tensors], fail)).toEqual([
            { step: 3 },
            [Float32Array.of(3)],
          ]);
          expect((await Workplace.open(second.folder, uri, newer)).find("0")).toEqual({ failure: "no", seconds: 2 });
          await expect(writing(first, older, "[]")).rejects.toMatchObject({ reason: "Superseded" });
          const { digest } = await writing(second, newer);
          await expect(writing(first, older, "[]")).rejects.toMatchObject({ reason: "Superseded" });
          await removeCheckpoints(second.folder, second.mirror);
          await removeCandidates(second.folder, second.mirror);
          expect((await openArtefact(await resolve(uri, access))).digest).toBe(digest);
          expect((await second.finished("abc"))?.digest).toBe(digest);
          await expect(second.finished("other")).rejects.toThrow("holds the artefact of another specification");
        });
      });
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: "models", Prefix: "out/" }));
      expect(Contents.map(({ Key }) => Key).filter((key) => !key?.includes("/documents/"))).toEqual([
        "out/net-abc/model.json",
        "out/net-abc/modelwright.json",
      ]);
    }, 60_000);

    it("finishes one of two that write at the same moment", async () => {
      const both = [0, 1].map((number) =>
        withOutput(runOf("net-both"), "", async (output) => writing(output, await output.take(), `[${number}]`)),
      );
      const results = await Promise.allSettled(both);
      expect(results.map(({ status }) => status)).toContain("fulfilled");
      for (const result of results) {
        if (result.status === "rejected") expect(result.reason).toMatchObject({ reason: "Superseded" });
      }
      const folder = await resolve("s3://models/out/net-both", access);
      await openArtefact(folder);
      const winners = results.flatMap(({ status }, number) => (status === "fulfilled" ? [`[${number}]`] : []));
      expect(winners).toContain(await readFile(join(folder, "model.json"), "utf8"));
    }, 60_000);

    it("is refused, naming the field, where there is no bucket, wrong keys, or files of others", async () => {
      await expect(opened({ ...access, uri: "s3://missing/out/net" })).rejects.toMatchObject({
        reason: "OutputNotWritable",
        message:
          "spec.output: s3://missing/out/net/modelwright.json: there is no bucket missing; create it, or correct the URI",
      });
      const credentials = await secret("stranger", { AWS_ACCESS_KEY_ID: "tester", AWS_SECRET_ACCESS_KEY: "no" });
      await expect(opened({ ...runOf("net"), credentials })).rejects.toMatchObject({
        reason: "AccessDenied",
        message: expect.stringMatching(/^spec\.output: .*; correct credentials, endpoint and region, or the URI$/),
      });
      await expect(opened({ ...access, uri: "s3://models/net" })).rejects.toThrow("holds files that are no artefact");
    });

    it("gets what a training makes, and a server and an optimization take it from there", async () => {
      const yaml = parse(await readFile(join(DIGITS, "training-job.yaml"), "utf8")) as { spec: { dataset: object } };
      const data = { ...access, format: "Csv", label: "label", uri: "s3://models/digits/train.csv" };
      const at = { uri: "gs://models/trained", ...access };
      const runtime = { engine: "Wasm" };
      const spec = { ...yaml.spec, dataset: { train: data }, output: at, epochs: 1, callbacks: {}, runtime };
      await writeFile(join(root, "to-store.yaml"), stringify({ ...yaml, spec }));
      const job = {
        apiVersion: "modelwright.dev/v1alpha1",
        kind: "OptimizationJob",
        metadata: { name: "smaller" },
        spec: {
          model: { from: { kind: "TrainingJob", name: "digits" } },
          dataset: { test: data },
          methods: [{ quantize: { weights: "Float16" } }],
          output: { uri: "s3://models/smaller", ...access },
          runtime,
        },
      };
      await writeFile(join(root, "smaller.yaml"), stringify(job));
      const program = (command: string, ...files: string[]) =>
        promisify(execFile)(
          process.execPath,
          [MAIN, command, ...files.flatMap((file) => ["-f", join(root, file)]), "--volumes", root],
          { env: { ...process.env, NODE_OPTIONS: "" } },
        );
      const { stdout, stderr } = await program("train", "to-store.yaml");
      expect(stdout + stderr).not.toContain(server.secretAccessKey);
      await program("optimize", "smaller.yaml", "to-store.yaml");
      for (const prefix of ["trained/", "smaller/"]) {
        const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: "models", Prefix: prefix }));
        const runs = [...new Set(Contents.map(({ Key = "" }) => Key.split("/")[1]))];
        // Nothing is left of states and candidates.
        expect(runs).toHaveLength(1);
        const dir = await resolve(`s3://models/${prefix}${runs[0] ?? ""}`, access);
        expect((await openArtefact(dir)).manifest?.lineage.run).toBe(runs[0]);
      }
    }, 120_000);
  });

  it("refuses wrong keys, and says which are missing, without telling any", async () => {
    const wrong = await secret("wrong", { AWS_ACCESS_KEY_ID: "tester", AWS_SECRET_ACCESS_KEY: "no" });
    const refused = resolve("s3://models/net", { ...access, credentials: wrong });
    await expect(refused).rejects.toMatchObject({ reason: "AccessDenied", exitCode: 66 });
    const empty = await secret("empty", { other: "x" });
    await expect(resolve("s3://models/net", { ...access, credentials: empty })).rejects.toThrow(
      "Secret empty needs the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; add them",
    );
  });

  it("that does not answer may be tried again later; one at a cloud's metadata address is never asked", async () => {
    const gone = resolve("s3://models/net", { ...access, endpoint: "http://127.0.0.1:9" });
    await expect(gone).rejects.toMatchObject({ reason: "StoreUnavailable", exitCode: 75 });
    const metadata = resolve("s3://models/net", { ...access, endpoint: "http://169.254.169.254" });
    await expect(metadata).rejects.toMatchObject({ reason: "AccessDenied" });
  }, 30_000);
});

describe("A registry", () => {
  let server: RegistryServer;
  let access: Access;
  let digest: string;

  /** Pushes files as an artifact, as the distribution specification says it. */
  async function push(files: Record<string, string | Buffer>): Promise<string> {
    const authorization = `Basic ${btoa(`${server.username}:${server.password}`)}`;
    const blob = async (text: string | Buffer) => {
      const of = `sha256:${createHash("sha256").update(text).digest("hex")}`;
      const begun = await fetch(`${server.url}/v2/team/net/blobs/uploads/`, {
        method: "POST",
        headers: { authorization },
      });
      const to = new URL(begun.headers.get("location") ?? "", server.url);
      to.searchParams.set("digest", of);
      const headers = { authorization, "content-type": "application/octet-stream" };
      expect((await fetch(to, { method: "PUT", headers, body: text })).status).toBe(201);
      return { digest: of, size: text.length };
    };
    const layers = [];
    for (const [name, text] of Object.entries(files)) {
      const annotations = { "org.opencontainers.image.title": name };
      layers.push({ mediaType: "application/octet-stream", ...(await blob(text)), annotations });
    }
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const config = { mediaType: "application/vnd.oci.empty.v1+json", ...(await blob("{}")) };
    const manifest = { schemaVersion: 2, mediaType, artifactType: "application/x.model", config, layers };
    const put = await fetch(`${server.url}/v2/team/net/manifests/one`, {
      method: "PUT",
      headers: { authorization, "content-type": mediaType },
      body: JSON.stringify(manifest),
    });
    expect(put.status).toBe(201);
    return put.headers.get("docker-content-digest") ?? "";
  }

  beforeAll(async () => {
    server = await startRegistry();
    const { url: endpoint, username, password } = server;
    access = { endpoint, credentials: await secret("registry", { username, password }) };
    digest = await push({ "model.json": "{}", "parts/one.bin": "1" });
  }, 300_000);

  afterAll(() => server.stop());

  it("gives the files of an artifact, by tag and by digest", async () => {
    for (const version of [":one", `@${digest}`]) {
      const path = await resolve(inRegistry(version), access);
      expect(await readFile(join(path, "parts/one.bin"), "utf8")).toBe("1");
      expect(await readFile(join(path, "model.json"), "utf8")).toBe("{}");
    }
  });

  it("gives a server its model", async () => {
    const folder = await writeLinearModel(join(root, "linear"));
    const files = ["model.json", "weights.bin"].map(
      async (name) => [name, await readFile(join(folder, name))] as const,
    );
    const pushed = await push(Object.fromEntries(await Promise.all(files)));
    const row = [1, 2, 3, 4];
    expect(await answersOf(inRegistry(`@${pushed}`), access, [row])).toEqual({ predictions: [linear(row)] });
  }, 120_000);

  it("takes credentials of the form that image pulls use", async () => {
    const auth = btoa(`${server.username}:${server.password}`);
    const config = JSON.stringify({ auths: { "registry.lab": { auth } } });
    const credentials = await secret("pull", { ".dockerconfigjson": config });
    await expect(resolve(inRegistry(":one"), { ...access, credentials })).resolves.toContain("modelwright-inputs");
  });

  it("refuses others, and what is not there", async () => {
    const wrong = await secret("wrong-registry", { username: "tester", password: "no" });
    await expect(resolve(inRegistry(":one"), { ...access, credentials: wrong })).rejects.toMatchObject({
      reason: "AccessDenied",
    });
    await expect(resolve(inRegistry(":two"), access)).rejects.toMatchObject({ reason: "InputMissing" });
  });

  it("with files whose names lead elsewhere is refused", async () => {
    await push({ "../model.json": "{}" });
    await expect(resolve(inRegistry(":one"), access)).rejects.toMatchObject({ reason: "ModelUnsupported" });
  });
});

describe("A web server", () => {
  let server: HttpsServer;
  let host: string;
  const access: Access = { caBundle: { configMapName: "lab" } };
  /** More than is lost when a connection breaks: what was sent and not yet read. */
  const content = "x".repeat(8_000_000);
  let broken = 0;

  beforeAll(async () => {
    const pki = new Authority(join(root, "pki"), "ca");
    await pki.create();
    await pki.issue({ name: "web", subject: "/CN=localhost", extensions: ["subjectAltName=DNS:localhost"] });
    await mkdir(join(root, "ca/lab"), { recursive: true });
    await writeFile(join(root, "ca/lab/ca.crt"), await readFile(pki.path("ca.crt")));
    const [key, cert] = await Promise.all([readFile(pki.path("web.key")), readFile(pki.path("web.crt"))]);
    const model = await readFile(join(MNIST, "model.h5"));
    server = createServer({ key, cert }, (request, response) => {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      if (request.url === "/moved") return response.writeHead(302, { location: "/file.csv" }).end();
      if (request.url === "/inward") return response.writeHead(302, { location: "https://127.0.0.1/x" }).end();
      if (request.url === "/model.h5") return response.end(model);
      if (request.url === "/plain") return response.writeHead(302, { location: "http://localhost/x" }).end();
      if (request.url === "/round") return response.writeHead(302, { location: "/round" }).end();
      if (request.url !== "/file.csv") return response.writeHead(404).end();
      const part = content.slice(start);
      response.writeHead(start === 0 ? 200 : 206, { etag: '"1"', "content-length": part.length });
      if (request.method === "HEAD" || start > 0) return response.end(part);
      broken += 1;
      return response.write(part.slice(0, 6_000_000), () => response.destroy());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    host = `localhost:${(server.address() as AddressInfo).port}`;
  });

  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  beforeEach(() => {
    process.env[ENV.allowedHosts] = "localhost";
  });

  afterEach(() => {
    delete process.env[ENV.allowedHosts];
  });

  it("gives a file, also behind a redirect and when the connection breaks", async () => {
    const path = await resolve(`https://${host}/moved`, access);
    // Not by toBe: a difference would be shown.
    expect((await readFile(path, "utf8")) === content).toBe(true);
    expect(broken).toBe(1);
  }, 30_000);

  it("gives a server its model", async () => {
    const text = await readFile(join(MNIST, "answers.json"), "utf8");
    const { rows, keras } = JSON.parse(text) as { rows: number[][]; keras: number[][] };
    const { predictions } = (await answersOf(`https://${host}/model.h5`, access, rows)) as { predictions: number[][] };
    const expected = keras.map((row) => row.map((value): unknown => expect.closeTo(value, 5)));
    expect(predictions).toEqual(expected);
  }, 120_000);

  it("is not asked when its address is private and nobody allowed it", async () => {
    delete process.env[ENV.allowedHosts];
    await expect(resolve(`https://${host}/file.csv`, access)).rejects.toMatchObject({ reason: "AccessDenied" });
  });

  it.each(["inward", "plain", "round"])("is not followed where it leads astray: /%s", async (path) => {
    await expect(resolve(`https://${host}/${path}`, access)).rejects.toMatchObject({ reason: "AccessDenied" });
  });

  it("is refused when its certificate is signed by nobody we know, and when the file is missing", async () => {
    await expect(resolve(`https://${host}/file.csv`, {})).rejects.toMatchObject({ reason: "StoreUnavailable" });
    await expect(resolve(`https://${host}/other.csv`, access)).rejects.toMatchObject({ reason: "InputMissing" });
  });
});
