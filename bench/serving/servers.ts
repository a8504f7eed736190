/** The servers that are compared: how each is started, and what it speaks. */
import { join } from "node:path";
import type { Form } from "./requests.ts";

export interface Server {
  readonly name: string;
  readonly forms: readonly Form[];
  readonly command: (folder: string, port: number, grpcPort: number) => readonly string[];
}

/** The model as ONNX, in a folder beside its own: ours takes a folder with one model only. */
export const onnxFile = (folder: string) => `${folder}-onnx/model.onnx`;

const SERVE = [process.execPath, join(import.meta.dirname, "../../runtime/main.ts"), "serve"];
const REST = ["--management-port", "0", "--host", "127.0.0.1", "--drain-delay", "0"];

export const ours = (name: string, engine: string): Server => ({
  name: `ours, ${name}`,
  forms: ["v1", "binary", "grpc"],
  command: (folder, port, grpcPort) => {
    const ports = ["--port", String(port), "--grpc-port", String(grpcPort)];
    return [...SERVE, folder, "--name", "m", "--engine", engine, ...ports, ...REST];
  },
});

function peer(
  name: string,
  python: string | undefined,
  script: string,
  file: (folder: string) => string,
  forms: readonly Form[],
): Server[] {
  if (python === undefined) return [];
  const path = join(import.meta.dirname, script);
  return [
    { name, forms, command: (folder, port, grpcPort) => [python, path, file(folder), String(port), String(grpcPort)] },
  ];
}

const kerasFile = (folder: string) => `${folder}/model.keras`;

export interface Pythons {
  readonly python?: string | undefined;
  readonly mlserver?: string | undefined;
  readonly pytriton?: string | undefined;
}

export function serversOf({ python, mlserver, pytriton }: Pythons): Server[] {
  return [
    ours("ONNX Runtime", "OnnxRuntime"),
    ours("TensorFlow", "TensorFlow"),
    ours("Wasm", "Wasm"),
    ...peer("TensorFlow, FastAPI", python, "fastapi_peer.py", kerasFile, ["v1"]),
    ...peer("TensorFlow, KServe", python, "kserve_peer.py", kerasFile, ["v1", "binary", "grpc"]),
    ...peer("ONNX Runtime, MLServer", mlserver, "mlserver_peer.py", onnxFile, ["v2", "grpc"]),
    ...peer("ONNX Runtime, PyTriton", pytriton, "pytriton_peer.py", onnxFile, ["v2", "binary", "grpc"]),
  ];
}
