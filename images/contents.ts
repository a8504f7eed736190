export const imageNames = ["operator", "runtime"] as const;
export type ImageName = (typeof imageNames)[number];

export const variants = ["cpu", "gpu"] as const;
/** Which libtensorflow the runtime image holds. */
export type Variant = (typeof variants)[number];

export type Contents = {
  /** The command that the image runs, found on its PATH, and the source file that it starts. */
  command: string;
  main: string;
  /** Folders of our own source that are compiled into it. */
  sources: string[];
  /** npm packages that these import; what they need in turn comes with them, as the lock file says. */
  packages: string[];
  /** Packages that are imported and yet left out, with the reason. */
  omitted: Record<string, string>;
  /** Does it hold libtensorflow? */
  engine: boolean;
};

export const contents: Record<ImageName, Contents> = {
  operator: {
    command: "modelwright-operator",
    main: "operator/main.ts",
    sources: ["crds", "operator"],
    packages: ["prom-client", "yaml", "zod"],
    omitted: {
      "@kubernetes/client-node":
        "65 MB that only a kubeconfig with a login program needs; a pod has its service account's token",
    },
    engine: false,
  },
  runtime: {
    command: "modelwright",
    main: "runtime/main.ts",
    sources: ["crds", "runtime"],
    packages: [
      "@aws-sdk/client-s3",
      "@grpc/grpc-js",
      "@grpc/proto-loader",
      "@grpc/reflection",
      "@tensorflow/tfjs",
      "@tensorflow/tfjs-backend-wasm",
      "@tensorflow/tfjs-node-gpu",
      "express",
      "grpc-health-check",
      "h5wasm",
      "onnxruntime-node",
      "prom-client",
      "sharp",
      "winston",
      "yaml",
      "zod",
    ],
    omitted: {},
    engine: true,
  },
};

/** The parts of an image, each a layer: what changes least lies lowest. */
export const parts = ["node", "modules", "engine", "program"] as const;
export type Part = (typeof parts)[number];

/** Where our files lie in an image. */
export const home = "opt/modelwright";

const typings = /^(@types\/|@webgpu\/types$)/;
const clutter =
  /^(tests?|__tests__|examples?|docs?|typings|\.github|man|benchmarks?)\/|\.(map|md|markdown|flow|tsbuildinfo|[cm]?ts|tsx|html|gyp|gypi|cc|h|ps1|cmd|bat|sh)$|(^|\/)(\.[^/]+|[^/]*_test\.js|changelog[^/]*|tsconfig[^/]*\.json)$/i;
const licence = /(^|\/)(licen[cs]e|notice|copying|third_party)[^/]*$/i;
/** Node loads one bundle of each tfjs package; the others are for browsers and bundlers. */
const tfjs = /^@tensorflow\/tfjs(-(core|layers|data|converter|backend-\w+))?$/;
const tfjsFile = /^(package\.json|dist\/tf[\w-]*\.node\.js|dist\/[\w-]+\.wasm)$/;

/** What onnxruntime-node needs to download GPU libraries when it is installed. */
const installers = /^(adm-zip|global-agent)$/;

/** Does a package hold anything that is loaded at run time? */
export const hasCode = (name: string): boolean => !typings.test(name) && !installers.test(name);

/** Is a file of a package (path inside it, with /) needed at run time, or its licence? */
export function keeps(name: string, file: string, arch: string = process.arch): boolean {
  if (licence.test(file)) return true;
  if (tfjs.test(name)) return tfjsFile.test(file);
  if (name === "@tensorflow/tfjs-node-gpu")
    return file === "package.json" || (file.startsWith("dist/") && file.endsWith(".js") && !file.endsWith("_test.js"));
  // 46 MB for each platform: only Linux' own, of the image's architecture.
  if (name === "onnxruntime-node")
    return /^(package\.json|dist\/[^/]+\.js)$/.test(file) || file.startsWith(`bin/napi-v6/linux/${arch}/`);
  if (name === "onnxruntime-common") return file === "package.json" || /^dist\/cjs\/.*(\.js|package\.json)$/.test(file);
  if (name === "h5wasm") return file === "package.json" || file.startsWith("dist/esm/");
  if (name === "zod" && file.startsWith("src/")) return false;
  return !clutter.test(file);
}
