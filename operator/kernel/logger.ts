import { AsyncLocalStorage } from "node:async_hooks";

export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = "error" | "warn" | "info" | "debug";

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  /** The fields are computed only when debug lines are written. */
  debug(message: string, fields?: () => LogFields): void;
  /** The same log with further fields on every line. */
  child(fields: LogFields): Logger;
}

const ambient = new AsyncLocalStorage<LogFields>();

/** Every line written while `action` runs, also by what it awaits, carries these fields. */
export function withLogFields<T>(fields: LogFields, action: () => T): T {
  return ambient.run({ ...ambient.getStore(), ...fields }, action);
}

export interface LoggerOptions {
  /** Default info. */
  readonly level?: LogLevel | undefined;
  readonly fields?: LogFields | undefined;
  /** Default standard output. */
  readonly stream?: NodeJS.WritableStream | undefined;
}

const LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug"];

interface Sink {
  readonly stream: NodeJS.WritableStream;
  readonly level: LogLevel;
}

/** One JSON object a line: time, level, message and fields. An Error among the fields keeps code, stack and causes. */
export function createLogger(options: LoggerOptions = {}): Logger {
  return bind({ stream: options.stream ?? process.stdout, level: options.level ?? "info" }, options.fields ?? {});
}

/** Discards everything. */
export const silentLogger: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silentLogger,
};

function bind(sink: Sink, own: LogFields): Logger {
  const isEnabled = (level: LogLevel) => LEVELS.indexOf(level) <= LEVELS.indexOf(sink.level);
  const write = (level: LogLevel, message: string, fields: LogFields) => {
    if (!isEnabled(level)) return;
    const time = new Date().toISOString();
    sink.stream.write(lineOf({ ...plain({ ...ambient.getStore(), ...own, ...fields }), time, level, message }));
  };
  return {
    error: (message, fields = {}) => write("error", message, fields),
    warn: (message, fields = {}) => write("warn", message, fields),
    info: (message, fields = {}) => write("info", message, fields),
    debug: (message, fields = () => ({})) => {
      // A disabled line must cost nothing.
      if (isEnabled("debug")) write("debug", message, fields());
    },
    child: (fields) => bind(sink, { ...own, ...fields }),
  };
}

/** Never throws: a log must not be what fails. */
function lineOf(line: LogFields): string {
  try {
    return `${JSON.stringify(line)}\n`;
  } catch (error) {
    const { time, level, message } = line;
    return `${JSON.stringify({ time, level, message, fields: `have no JSON form: ${String(error)}` })}\n`;
  }
}

function plain(fields: LogFields): LogFields {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields))
    result[name] = value instanceof Error ? errorFields(value) : value;
  return result;
}

/** An error and the chain of its causes, as fields. */
export function errorFields(error: Error): LogFields {
  const code = "code" in error ? error.code : undefined;
  const cause = error.cause instanceof Error ? errorFields(error.cause) : error.cause;
  return {
    name: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    stack: error.stack,
    ...(cause === undefined ? {} : { cause }),
  };
}
