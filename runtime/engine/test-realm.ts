/**
 * For tests only; import it before anything that loads an engine. jest runs tests in a realm of their own, whose typed
 * arrays are not those that the native addon makes, and whose process.env no library sees.
 */
import { runInThisContext } from "node:vm";

const NUMBERS = "Uint8 Int8 Uint16 Int16 Uint32 Int32 BigUint64 BigInt64 Float16 Float32 Float64";
const NAMES = ["ArrayBuffer", ...NUMBERS.split(" ").map((name) => `${name}Array`)];

for (const name of NAMES) Object.assign(globalThis, { [name]: runInThisContext(name) as unknown });
const outer = runInThisContext("process") as NodeJS.Process;
outer.env["TF_CPP_MIN_LOG_LEVEL"] ??= "3";
outer.env["TF_NUM_INTRAOP_THREADS"] ??= "1";
outer.env["TF_NUM_INTEROP_THREADS"] ??= "1";
