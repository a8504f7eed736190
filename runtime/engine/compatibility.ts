/** What tfjs-node 4.22.0 needs to run on newer versions of Node, and quietly. */
import util from "node:util";

/** Call before tfjs-node is loaded. */
export function provideRemovedUtilities(): void {
  Object.assign(util, {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  });
}

const KNOWN = /^INT64 output tensor will be stored/;

/** Each output of 64-bit whole numbers would be a line in the log of every call. */
export function quietly<T>(call: () => T): T {
  const { warn } = console;
  console.warn = (...words: unknown[]) => {
    if (!KNOWN.test(String(words[0]))) warn(...words);
  };
  try {
    return call();
  } finally {
    console.warn = warn;
  }
}
