/** Options of a program from a record: `{"data-dir": "/x", watch: true}` becomes `--data-dir=/x --watch=true`. */
export function flags(options: Record<string, string | number | boolean>): string[] {
  return Object.entries(options).map(([name, value]) => `--${name}=${value}`);
}
