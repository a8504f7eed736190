/** tfjs-node 4.22.0 calls two functions of node:util that newer versions of Node lack or warn about. */
import util from "node:util";

/** Call before tfjs-node is loaded. */
export function provideRemovedUtilities(): void {
  Object.assign(util, {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  });
}
