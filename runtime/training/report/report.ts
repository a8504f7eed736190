/** Writes what people look at a training with, among the artefact's documents. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DOCUMENTS_FOLDER } from "../../../crds/contract/artefact.ts";
import { eventFile } from "./event-file.ts";
import { type Reported, reportPage } from "./page.ts";

/** TensorBoard looks for files with `tfevents` in their names; each folder is a run of its own. */
const EVENTS = "events.out.tfevents.modelwright";

/** Writes `documents/training.html` and `documents/tensorboard/` below `folder`. */
export async function writeReport(folder: string, reported: Reported): Promise<void> {
  const documents = join(folder, DOCUMENTS_FOLDER);
  await mkdir(documents, { recursive: true });
  await writeFile(join(documents, "training.html"), reportPage(reported));
  for (const part of ["train", "validation"] as const) {
    const bytes = eventFile(reported.state.history, part === "validation");
    if (bytes === undefined) continue;
    const run = join(documents, "tensorboard", part);
    await mkdir(run, { recursive: true });
    await writeFile(join(run, EVENTS), bytes);
  }
}
