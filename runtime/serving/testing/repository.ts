import { ModelRepository } from "../model-repository.ts";
import type { ServedModel } from "../served-model.ts";

/** A started repository that holds this model only. */
export async function repositoryOf(model: ServedModel): Promise<ModelRepository> {
  const { name, version } = model;
  const versions = [{ version, revision: name, dir: "dir", uri: "pvc://models/m" }];
  const repository = new ModelRepository({
    list: () => Promise.resolve([{ name, versions, labels: {}, compute: { engine: "Wasm" } }]),
    open: () => Promise.resolve(model),
    onFailure: () => {},
  });
  await repository.start();
  return repository;
}
