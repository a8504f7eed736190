import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TrafficDirective } from "../../../crds/contract/traffic.ts";
import { until } from "../testing/program.ts";
import { DirectiveFile } from "./directive-file.ts";

let folder: string;
let file: DirectiveFile | undefined;
let versions = 0;
const changes: (TrafficDirective | undefined)[] = [];
const problems: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "modelwright-traffic-"));
  changes.length = 0;
  problems.length = 0;
});
afterEach(async () => {
  await file?.close();
  await rm(folder, { recursive: true });
});

/** As the kubelet does: a new folder, and a link that is moved over the old one. */
async function project(text: string): Promise<void> {
  const version = `..version-${++versions}`;
  await mkdir(join(folder, version));
  await writeFile(join(folder, version, "traffic.json"), text);
  await symlink(version, join(folder, "..data_tmp"));
  await rename(join(folder, "..data_tmp"), join(folder, "..data"));
}

async function follow(): Promise<void> {
  await symlink(join("..data", "traffic.json"), join(folder, "traffic.json"));
  file = new DirectiveFile({
    path: join(folder, "traffic.json"),
    onChange: (directive) => void changes.push(directive),
    onInvalid: (problem) => void problems.push(problem),
  });
}

const directive = (weight: number) => ({ id: `a.${weight}`, weight });

it("follows the annotation as the kubelet shows it", async () => {
  await project(JSON.stringify(directive(5)));
  await follow();
  await until("it is followed", () => changes.length === 1);
  await project(JSON.stringify({ ...directive(25), later: "unknown members are left alone" }));
  await until("it is followed", () => changes.length === 2);
  await project("");
  await until("it is followed", () => changes.length === 3);
  expect(changes).toEqual([directive(5), directive(25), undefined]);
});

it("diverts nothing by what it cannot read, and says so", async () => {
  await project(JSON.stringify(directive(5)));
  await follow();
  await until("it is followed", () => changes.length === 1);
  await project(JSON.stringify({ ...directive(5), weight: 500 }));
  await until("it is told", () => problems.length === 1);
  expect(changes).toEqual([directive(5), undefined]);
  expect(problems[0]).toContain("weight");
});

it("waits for a file that is not there yet", async () => {
  await follow();
  await project(JSON.stringify(directive(1)));
  await until("it is followed", () => changes.length === 1);
});
