/** When a training's state is saved, what is in it, and whether a training can go on from it. */
import { cpus } from "node:os";
import { z } from "zod";
import type { Checkpoint as Policy } from "../../crds/training-job.ts";
import { Consumption } from "../accounting/energy.ts";
import { Failure, systemCode } from "../failure.ts";
import type { CheckpointStore, StoredCheckpoint } from "../store/checkpoint-store.ts";
import { Position } from "./position.ts";

const Header = z.strictObject({
  specHash: z.string(),
  /** Digest of the files that it was trained on. */
  dataset: z.string(),
  position: Position,
  savedAt: z.iso.datetime(),
  /** Programs and machine: others may round in another way. */
  computedBy: z.record(z.string(), z.string()),
  /** What the run's processes have used so far. */
  consumption: Consumption.optional(),
});

type Header = z.output<typeof Header>;

/** A saved state. */
export interface Saved {
  position: Position;
  /** RFC 3339. */
  savedAt: string;
  /** What the run's processes had used. */
  consumption?: Consumption | undefined;
}

/** What a training depends on besides its position. */
export interface Memory {
  read(): Float32Array[];
  /** Throws RangeError when it was another training's. */
  write(values: readonly Float32Array[]): void;
}

export interface CheckpointOptions {
  store: CheckpointStore;
  policy: Policy;
  specHash: string;
  dataset: string;
  /** Programs, threads and device that compute. */
  software: Record<string, string>;
  /** What is saved. */
  memory: Memory;
  /** What the run's processes have used so far. */
  consumption?: (() => Consumption) | undefined;
  now: () => Date;
  onSaved: (saved: Saved) => void;
  warn: (message: string) => void;
}

/** What the last bits of a result depend on. */
function computedBy(software: Record<string, string>): Record<string, string> {
  const oneDnn = process.env["TF_ENABLE_ONEDNN_OPTS"] ?? "default";
  return { ...software, oneDnn, cpu: cpus()[0]?.model ?? "unknown" };
}

/** Is the state to be saved here? After an epoch's validation, or after a step. */
export function isDue({ epoch, batch, step }: Position, { everyEpochs = 1, everySteps }: Policy): boolean {
  if (everySteps !== undefined) return batch > 0 && step % everySteps === 0;
  return batch === 0 && epoch > 0 && epoch % everyEpochs === 0;
}

const samePlace = (a: Position | undefined, b: Position) =>
  a?.epoch === b.epoch && a.batch === b.batch && a.step === b.step;

export class Checkpoints {
  readonly #options: CheckpointOptions;
  readonly #computedBy: Record<string, string>;
  #at: Position | undefined;
  #saved: Position | undefined;

  constructor(options: CheckpointOptions) {
    this.#options = options;
    this.#computedBy = computedBy(options.software);
  }

  /** Puts back the newest state that is whole and of this training. */
  async resume(): Promise<Saved | undefined> {
    const { store, warn } = this.#options;
    const saved = await store.newest(
      (state) => this.#accept(state),
      (step, why) => warn(`The saved state of step ${step} is passed over: ${why}`),
    );
    this.#at = saved?.position;
    this.#saved = saved?.position;
    return saved;
  }

  /** The training is here now. */
  async passed(position: Position): Promise<void> {
    this.#at = position;
    if (isDue(position, this.#options.policy)) await this.save();
  }

  /** Saves where the training is now. A volume or store that cannot take it is no reason to end the training. */
  async save(): Promise<void> {
    const { store, policy, specHash, dataset, memory, consumption, now, onSaved, warn } = this.#options;
    const position = this.#at;
    if (position === undefined || samePlace(this.#saved, position)) return;
    const savedAt = now().toISOString();
    const header: Header = {
      specHash,
      dataset,
      position,
      savedAt,
      computedBy: this.#computedBy,
      consumption: consumption?.(),
    };
    try {
      await store.save(position.step, header, memory.read(), policy.keep);
    } catch (error) {
      if (error instanceof Failure && error.reason !== "StoreUnavailable") throw error;
      warn(
        `The state of step ${position.step} could not be saved (${systemCode(error) ?? String(error)}); check the volume`,
      );
      return;
    }
    this.#saved = position;
    onSaved({ position, savedAt });
  }

  #accept({ header: json, tensors }: StoredCheckpoint<unknown>): Saved {
    const { specHash, dataset, memory, warn } = this.#options;
    const parsed = Header.safeParse(json);
    if (!parsed.success) throw new TypeError("it is of another version of Modelwright");
    const header = parsed.data;
    if (header.specHash !== specHash) throw new TypeError("it is of another specification");
    if (header.dataset !== dataset) throw new TypeError("the training data have changed since");
    memory.write(tensors);
    const others = differences(header.computedBy, this.#computedBy);
    if (others.length > 0) {
      warn(`The saved state was computed elsewhere (${others.join("; ")}); the model may differ in its last digits`);
    }
    return { position: header.position, savedAt: header.savedAt, consumption: header.consumption };
  }
}

function differences(before: Record<string, string>, now: Record<string, string>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  return names
    .filter((name) => before[name] !== now[name])
    .map((name) => `${name} ${before[name] ?? "none"}, now ${now[name] ?? "none"}`);
}
