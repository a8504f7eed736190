/** The story without Kubernetes: the same three manifests as local processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { cp, mkdir } from "node:fs/promises";
import { accuracy, DIGITS, oneOfEach, predict, readDigits, showPredictions } from "./digits.ts";
import { elapsed, heading, say } from "./screen.ts";

const PROGRAM = join(import.meta.dirname, "..", "..", "runtime", "main.ts");

/** Runs `modelwright` to its end, with its output on this terminal. */
async function modelwright(args: readonly string[]): Promise<void> {
  say(`$ modelwright ${args.join(" ")}`);
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: "inherit" });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`modelwright ${args[0]} ended with ${code}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

async function untilReady(management: string, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`modelwright serve ended with ${server.exitCode}`);
    const ready = await fetch(`${management}/readyz`).then(
      (response) => response.ok,
      () => false,
    );
    if (ready) return;
    await pause(100);
  }
}

/** Serves the newest artefact of a manifest on localhost, shows what it says of held-out digits, and stops it. */
async function serveAndPredict(args: readonly string[]): Promise<void> {
  const [port, management] = [await freePort(), await freePort()];
  const all = [...args, "--port", String(port), "--management-port", String(management), "--drain-delay", "0"];
  say(`$ modelwright serve ${all.join(" ")}`);
  const server = spawn(process.execPath, [PROGRAM, "serve", ...all], { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => server.once("close", resolve));
  try {
    await untilReady(`http://127.0.0.1:${management}`, server);
    const digits = await readDigits(join(DIGITS, "data", "test.csv"));
    const some = oneOfEach(digits);
    const base = `http://127.0.0.1:${port}`;
    say(showPredictions(some.slice(0, 5), await predict(base, "digits", some.slice(0, 5))));
    say(showPredictions(some.slice(5), await predict(base, "digits", some.slice(5))));
    const share = accuracy(digits, await predict(base, "digits", digits));
    say(`all ${digits.length} held-out digits over HTTP: ${(share * 100).toFixed(1)} % right`);
  } finally {
    server.kill("SIGTERM");
    await ended;
  }
}

/** Trains, optimizes and serves in `folder`, which takes the place of the cluster's volumes. */
export async function tellLocally(folder: string): Promise<void> {
  const manifests = ["training-job.yaml", "optimization-job.yaml", "model-deployment.yaml"].map((file) =>
    join(DIGITS, file),
  );
  const [training = "", optimization = "", deployment = ""] = manifests;
  await mkdir(join(folder, "models", "data"), { recursive: true });
  for (const file of ["train.csv", "test.csv"]) {
    await cp(join(DIGITS, "data", file), join(folder, "models", "data", file));
  }
  heading("TrainingJob: a convolutional network learns to read handwritten digits");
  await modelwright(["train", "-f", training, "--volumes", folder]);
  heading("OptimizationJob: pruned, fine-tuned and quantized, within an accuracy budget");
  await modelwright(["optimize", "-f", optimization, "-f", training, "--volumes", folder]);
  heading("ModelDeployment: the trained model on localhost");
  await serveAndPredict(["-f", deployment, "-f", training, "--volumes", folder]);
  say(`\nDone in ${elapsed()}. Data and artefacts are in ${folder}.`);
}
