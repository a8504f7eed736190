/** Lets messages and signals through between two pieces of computing, which block this process. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
