/** What the commands take from their surroundings; read once, in main. */
import type { EnergyModel } from "../../crds/contract/energy-model.ts";
import type { WorkerPlace } from "../work.ts";

export interface Environment {
  /** Folder under which claims are found, if `--volumes` does not say another. */
  volumes: string;
  /** Engine threads; undefined: the processors that this process may use. */
  threads: number | undefined;
  /** What energy is reckoned with. */
  energy: EnergyModel;
  /** This pod among the workers of a training. */
  worker: WorkerPlace | undefined;
  /** Shows text to the user. */
  out: (line: string) => void;
  err: (line: string) => void;
  /** Is stdout a terminal? */
  terminal: boolean;
  /** Writes without a line end, for a bar that is redrawn. */
  draw: (text: string) => void;
}
