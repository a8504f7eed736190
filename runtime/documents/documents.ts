/** The documents that go with every artefact, all made from its manifest. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DOCUMENTS_FOLDER } from "../../crds/contract/artefact.ts";
import { billOfMaterials } from "./bill-of-materials.ts";
import type { Facts } from "./facts.ts";
import { modelCard } from "./model-card.ts";
import { provenance } from "./provenance.ts";

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Texts by file name. */
export function documentsOf(facts: Facts): Record<string, string> {
  return {
    "model-card.md": modelCard(facts),
    "provenance.intoto.json": json(provenance(facts)),
    "bom.cdx.json": json(billOfMaterials(facts)),
  };
}

/** Writes them below `folder`; returns their paths in it. */
export async function writeDocuments(folder: string, facts: Facts): Promise<string[]> {
  const documents = join(folder, DOCUMENTS_FOLDER);
  await mkdir(documents, { recursive: true });
  const texts = Object.entries(documentsOf(facts));
  await Promise.all(texts.map(([name, text]) => writeFile(join(documents, name), text)));
  return texts.map(([name]) => `${DOCUMENTS_FOLDER}/${name}`);
}
