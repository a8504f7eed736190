/** The story on Kubernetes: train, optimize, serve, update, scale, delete. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Kubectl, type Observed, type Target } from "../../test/cluster/kubectl.ts";
import type { Images } from "../../test/cluster/platform.ts";
import { accuracy, DIGITS, oneOfEach, predict, readDigits, showPredictions } from "./digits.ts";
import { manifest, prepareDigits, withImage } from "./volume.ts";
import { bar, elapsed, heading, LiveLine, say } from "./screen.ts";

export const NAMESPACE = "modelwright-demo";

export class DemoFailed extends Error {
  override name = "DemoFailed";
}

/** Shows each state of an object until it is `done`; a failure ends the demo with its reason. */
async function follow(
  kubectl: Kubectl,
  kind: string,
  name: string,
  show: (object: Observed) => string,
  done: (object: Observed) => boolean,
): Promise<Observed> {
  const line = new LiveLine();
  const seen = (object: Observed) => line.show(show(object));
  const ended = (object: Observed) => done(object) || object.status?.state === "Failed";
  const object = await kubectl.until(kind, name, ended, { seconds: 600, seen });
  line.end();
  if (done(object)) return object;
  const failure = object.status?.lastFailure;
  throw new DemoFailed(`${kind} ${name} failed: ${failure?.reason}: ${failure?.message}`);
}

/** Applies a job's manifest; one that failed in an earlier demo makes room first. */
async function applyJob(kubectl: Kubectl, kind: string, file: string): Promise<void> {
  const job = (await manifest(file)) as { metadata: { name: string } };
  const before = await kubectl.get(kind, job.metadata.name);
  if (before?.status?.state === "Failed")
    await kubectl.run(["delete", kind, job.metadata.name, "--cascade=foreground"]);
  await kubectl.apply(job);
}

function jobLine({ status }: Observed): string {
  const numbers = [
    status?.epoch !== undefined && status.epochs !== undefined ? `epoch ${status.epoch}/${status.epochs}` : undefined,
    status?.step !== undefined && status.epochs === undefined ? `step ${status.step}` : undefined,
    status?.loss !== undefined ? `loss ${status.loss}` : undefined,
    status?.metrics?.["accuracy"] !== undefined ? `accuracy ${status.metrics["accuracy"]}` : undefined,
    status?.etaSeconds !== undefined ? `${status.etaSeconds} s left` : undefined,
  ].filter((text) => text !== undefined);
  return `${bar(status?.progressPercent ?? 0)} ${status?.state ?? "Pending"} ${numbers.join(", ")}`;
}

const succeeded = ({ status }: Observed) => status?.state === "Succeeded";

function deploymentLine({ status }: Observed): string {
  const ready = status?.conditions?.find((condition) => condition.type === "Ready");
  return `Ready=${ready?.status ?? "Unknown"} ${ready?.reason ?? ""}: ${ready?.message ?? ""}`;
}

function serves(replicas: number, uri?: string) {
  return ({ status }: Observed) =>
    status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") === true &&
    status.readyReplicas === replicas &&
    (uri === undefined || status.model?.uri.startsWith(uri) === true);
}

async function startClient(kubectl: Kubectl, images: Images): Promise<void> {
  const code = await readFile(join(import.meta.dirname, "client.mjs"), "utf8");
  await kubectl.apply({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "digits-client" },
    data: { "client.mjs": code },
  });
  await kubectl.run(["delete", "job", "digits-client", "--ignore-not-found", "--cascade=foreground"]);
  await kubectl.apply(withImage(await manifest("client-job.yaml"), images.runtime));
  await kubectl.run(["wait", "--for=condition=Ready", "pod", "-l", "job-name=digits-client", "--timeout=120s"]);
}

interface Counts {
  sent: number;
  answered: number;
  failed: number;
  right: number;
  lastError?: string;
}

async function counts(kubectl: Kubectl): Promise<Counts> {
  const text = await kubectl.run(["logs", "job/digits-client", "--tail=1"]);
  return text === "" ? { sent: 0, answered: 0, failed: 0, right: 0 } : (JSON.parse(text) as Counts);
}

async function tables(kubectl: Kubectl): Promise<void> {
  for (const kind of ["trainingjobs", "optimizationjobs", "modeldeployments"]) {
    say(`$ kubectl get ${kind}`);
    say(await kubectl.run(["get", kind]));
  }
}

async function showDigits(kubectl: Kubectl): Promise<void> {
  const digits = await readDigits(join(DIGITS, "data", "test.csv"));
  const { url, stop } = await kubectl.portForward("digits", 80);
  try {
    const some = oneOfEach(digits);
    say(showPredictions(some.slice(0, 5), await predict(url, "digits", some.slice(0, 5))));
    say(showPredictions(some.slice(5), await predict(url, "digits", some.slice(5))));
    const all = accuracy(digits, await predict(url, "digits", digits));
    say(`all ${digits.length} held-out digits over HTTP: ${(all * 100).toFixed(1)} % right`);
  } finally {
    stop();
  }
}

/** The whole story; every object stays but the ModelDeployment, so that a second run adopts what was built. */
export async function tellOnCluster(target: Target, images: Images): Promise<void> {
  const kubectl = new Kubectl(target, NAMESPACE);
  heading("Data: a volume with the UCI handwritten digits");
  await prepareDigits(kubectl, NAMESPACE, images);
  say("volume `models` holds train.csv (1,437 digits) and test.csv (360 held-out digits)");

  heading("TrainingJob: a convolutional network learns to read them");
  await applyJob(kubectl, "trainingjob", "training-job.yaml");
  const trained = await follow(kubectl, "trainingjob", "digits", jobLine, succeeded);
  const score = trained.status?.evaluation?.["accuracy"] ?? 0;
  say(`accuracy on held-out digits: ${(score * 100).toFixed(1)} %`);
  if (score < 0.96) throw new DemoFailed(`the trained model reaches only ${score}, at least 0.96 was expected`);

  heading("OptimizationJob: pruned, fine-tuned and quantized, within an accuracy budget");
  await applyJob(kubectl, "optimizationjob", "optimization-job.yaml");
  await follow(kubectl, "optimizationjob", "digits-small", jobLine, succeeded);

  heading("ModelDeployment: two replicas serve the trained model");
  await kubectl.apply(await manifest("model-deployment.yaml"));
  await follow(kubectl, "modeldeployment", "digits", deploymentLine, serves(2));
  await tables(kubectl);
  await showDigits(kubectl);

  heading("Update: the optimized model rolls out while a client keeps asking");
  await startClient(kubectl, images);
  await pause(3000);
  const from = { kind: "OptimizationJob", name: "digits-small" };
  await kubectl.run([
    "patch",
    "modeldeployment",
    "digits",
    "--type=merge",
    "-p",
    JSON.stringify({ spec: { model: { from } } }),
  ]);
  await follow(kubectl, "modeldeployment", "digits", deploymentLine, serves(2, "pvc://models/digits-small"));
  await pause(8000);
  const { sent, failed, right, answered, lastError } = await counts(kubectl);
  say(
    `the client sent ${sent} requests through the update: ${failed} failed, ${((right / answered) * 100).toFixed(1)} % right`,
  );
  if (failed > 0) throw new DemoFailed(`${failed} requests failed through the update, the last with: ${lastError}`);
  await kubectl.run(["delete", "job", "digits-client", "--cascade=foreground"]);
  say(await kubectl.run(["get", "modeldeployments", "-o", "wide"]));

  heading("Scale: kubectl scale modeldeployment digits --replicas=3");
  await kubectl.run(["scale", "modeldeployment", "digits", "--replicas=3"]);
  await follow(kubectl, "modeldeployment", "digits", deploymentLine, serves(3));
  say(await kubectl.run(["get", "modeldeployments"]));

  heading("Delete: kubectl delete modeldeployment digits");
  await kubectl.run(["delete", "modeldeployment", "digits", "--cascade=foreground", "--timeout=120s"]);
  say(await kubectl.run(["get", "modelwright"]));
  say(`\nDone in ${elapsed()}. The jobs and their artefacts stay; \`npm run demo -- --down\` removes everything.`);
}
