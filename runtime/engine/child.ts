/** Runs a module in a process of its own, so that this one answers while that one computes. */
import { type ChildProcess, fork } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure } from "../failure.ts";

/** How a process ended. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A process to which messages of type In are sent, and which answers with messages of type Out. */
export interface Child<In, Out> {
  pid: number | undefined;
  send(message: In): void;
  onMessage(listener: (message: Out) => void): void;
  /** Resolves when the process has ended; never rejects. */
  exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

/** The module `name` beside the caller: `.ts` in a checkout, `.js` in a build. */
export function moduleBeside(importMetaUrl: string, name: string): URL {
  const caller = new URL(importMetaUrl);
  return new URL(`${name}${extname(caller.pathname)}`, caller);
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
    // A process that could not be started has no exit.
    child.once("error", () => {
      if (child.pid === undefined) resolve({ code: null, signal: null });
    });
  });
}

/** Starts `module`. Typed arrays in messages arrive as typed arrays. */
export function startChild<In, Out>(
  module: URL,
  { args = [], env = process.env }: { args?: string[]; env?: NodeJS.ProcessEnv } = {},
): Child<In, Out> {
  const child = fork(fileURLToPath(module), args, { serialization: "advanced", env });
  return {
    pid: child.pid,
    // A message to a process that has just ended is lost; `exited` tells.
    send: (message) => void (child.connected && child.send(message as object, () => undefined)),
    onMessage: (listener) => void child.on("message", (message) => listener(message as Out)),
    exited: exitOf(child),
    kill: (signal) => void child.kill(signal),
  };
}

/** Why a process that should have answered has ended. */
export function crashOf({ code, signal }: Exit): Failure {
  if (signal === "SIGKILL" || code === 137) {
    return new Failure(
      "OutOfMemory",
      "The engine's process was killed, as happens when memory runs out; raise resources.limits.memory",
    );
  }
  const how = signal === null ? `exit code ${code ?? "unknown"}` : `signal ${signal}`;
  return new Failure("InternalError", `The engine's process ended with ${how}; its log says why`);
}

/** In the child: sends `message` to the parent. Resolves when it is on its way. */
export function sendToParent(message: object): Promise<void> {
  return new Promise((resolve) => {
    if (process.send === undefined) return resolve();
    process.send(message, undefined, undefined, () => resolve());
  });
}

/** In the child: calls `listener` for each message, and ends this process when the parent is gone. */
export function onParentMessage(listener: (message: unknown) => void): void {
  process.on("message", (message) => listener(message));
  process.on("disconnect", () => process.exit());
}
