/** What the demo shows: headings, progress and pictures of digits in the terminal. */

const tty = process.stdout.isTTY;
const started = performance.now();

const color = (code: number, text: string) => (tty ? `\u001b[${code}m${text}\u001b[0m` : text);
export const bold = (text: string) => color(1, text);
export const green = (text: string) => color(32, text);
export const red = (text: string) => color(31, text);

/** Seconds since the demo began, as text. */
export function elapsed(): string {
  return `${((performance.now() - started) / 1000).toFixed(0)} s`;
}

export function say(line: string): void {
  console.log(line);
}

export function heading(text: string): void {
  console.log(`\n${bold(`== ${text}`)}  (${elapsed()})`);
}

/** A line that replaces itself on a terminal; elsewhere each new text is a line of its own. */
export class LiveLine {
  #last = "";

  show(text: string): void {
    if (text === this.#last) return;
    this.#last = text;
    if (tty) process.stdout.write(`\r\u001b[K${text}`);
    else console.log(text);
  }

  end(): void {
    if (tty && this.#last !== "") process.stdout.write("\n");
  }
}

export function bar(percent: number, width = 30): string {
  const done = Math.round((Math.min(100, Math.max(0, percent)) / 100) * width);
  return `[${"#".repeat(done)}${".".repeat(width - done)}] ${String(percent).padStart(3)} %`;
}

const SHADES = [" ", "░", "▒", "▓", "█"] as const;

/** The lines of a picture of `side` x `side` values from 0 to `max`. */
export function picture(pixels: readonly number[], side: number, max: number): string[] {
  return Array.from({ length: side }, (_, row) =>
    pixels
      .slice(row * side, (row + 1) * side)
      .map((value) => (SHADES[Math.round((value / max) * (SHADES.length - 1))] ?? " ").repeat(2))
      .join(""),
  );
}

/** Pictures side by side, each with a caption below. */
export function gallery(items: readonly { lines: string[]; caption: string; good: boolean }[], width: number): string {
  const height = Math.max(...items.map((item) => item.lines.length));
  const rows = Array.from({ length: height }, (_, row) =>
    items.map((item) => (item.lines[row] ?? "").padEnd(width)).join("  "),
  );
  const captions = items.map(({ caption, good }) => (good ? green : red)(caption.padEnd(width))).join("  ");
  return [...rows, captions].join("\n");
}
