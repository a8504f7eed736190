/** What goes into a model and what comes out. */
import type { LayersModel, SymbolicTensor } from "@tensorflow/tfjs";
import type { ArtefactManifest, Datatype, Tensor } from "../../crds/contract/artefact.ts";
import { Failure } from "../failure.ts";

const DATATYPES: Record<string, Datatype> = { float32: "FP32", int32: "INT32", bool: "BOOL" };

/** The datatype of the tensor `name`, by its name in tfjs. Throws Failure ModelUnsupported. */
export function datatypeOf(name: string, dtype: string): Datatype {
  const datatype = DATATYPES[dtype];
  if (datatype !== undefined) return datatype;
  throw new Failure("ModelUnsupported", `${name} has datatype ${dtype}; only float32, int32 and bool are supported`);
}

function tensor(name: string, symbolic: SymbolicTensor): Tensor {
  return { name, datatype: datatypeOf(name, symbolic.dtype), shape: symbolic.shape.map((size) => size ?? -1) };
}

function named(names: string[], tensors: SymbolicTensor[]): Tensor[] {
  return tensors.map((symbolic, index) => tensor(names[index] ?? symbolic.name, symbolic));
}

/** The signature of `model`; -1 is the batch dimension (or another that is open). Throws Failure ModelUnsupported. */
export function signatureOf(model: LayersModel): ArtefactManifest["signature"] {
  return { inputs: named(model.inputNames, model.inputs), outputs: named(model.outputNames, model.outputs) };
}
