/**
 * For tests only; import it before anything that loads an engine. jest runs tests in a realm of their own, whose typed
 * arrays are not those that the native addon makes, and whose process.env no library sees.
 */
import { runInThisContext } from "node:vm";

const NAMES = ["ArrayBuffer", "Uint8Array", "Int32Array", "Float32Array", "Float64Array"];

for (const name of NAMES) Object.assign(globalThis, { [name]: runInThisContext(name) as unknown });
const outer = runInThisContext("process") as NodeJS.Process;
outer.env["TF_CPP_MIN_LOG_LEVEL"] ??= "3";
outer.env["TF_NUM_INTRAOP_THREADS"] ??= "1";
outer.env["TF_NUM_INTEROP_THREADS"] ??= "1";
