/** Follows the file in which the pod sees its annotation. */
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { TrafficDirective } from "../../../crds/contract/traffic.ts";

/** For file systems that tell of no changes. */
const POLL_MILLISECONDS = 1000;

export interface DirectiveFileOptions {
  readonly path: string;
  /** Undefined: nothing is to be diverted. */
  readonly onChange: (directive: TrafficDirective | undefined) => void;
  /** The file holds something that cannot be followed; nothing is diverted then. */
  readonly onInvalid: (problem: string) => void;
}

export class DirectiveFile {
  readonly #options: DirectiveFileOptions;
  readonly #timer: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #text = "";
  #reading: Promise<void> = Promise.resolve();

  constructor(options: DirectiveFileOptions) {
    this.#options = options;
    // The kubelet replaces the file by a link to a new folder: its folder is watched.
    try {
      this.#watcher = watch(dirname(options.path), () => this.#look());
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch {
      // Without a folder to watch, asking for the file is enough.
    }
    this.#timer = setInterval(() => this.#look(), POLL_MILLISECONDS).unref();
    this.#look();
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#watcher?.close();
    return this.#reading;
  }

  #look(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  async #read(): Promise<void> {
    const { path, onChange, onInvalid } = this.#options;
    const text = (await readFile(path, "utf8").catch(() => "")).trim();
    if (text === this.#text) return;
    this.#text = text;
    if (text === "") return onChange(undefined);
    const parsed = parseDirective(text);
    if (typeof parsed === "string") onInvalid(parsed);
    onChange(typeof parsed === "string" ? undefined : parsed);
  }
}

function parseDirective(text: string): TrafficDirective | string {
  try {
    const parsed = TrafficDirective.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : `${parsed.error.issues[0]?.path.join(".") ?? ""}: it is not as it should be`;
  } catch {
    return "it is no JSON";
  }
}
