/** What serving needs of time; injected, so that tests never wait. Milliseconds. */
export interface Clock {
  /** Never goes back. */
  now(): number;
  setTimeout(callback: () => void, milliseconds: number): NodeJS.Timeout | number;
  clearTimeout(timer: NodeJS.Timeout | number): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds),
  clearTimeout: (timer) => clearTimeout(timer),
};
