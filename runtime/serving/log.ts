import winston from "winston";

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** One JSON object a line, on stderr. */
export function createLog(level: string): Log {
  const logger = winston.createLogger({
    level,
    format: winston.format.printf(({ level, message, ...fields }) =>
      JSON.stringify({ time: new Date().toISOString(), level, message, ...fields }),
    ),
    transports: [new winston.transports.Stream({ stream: process.stderr })],
  });
  return {
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
  };
}

/** An error as fields, with its causes. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: String(error) };
  const cause = error.cause === undefined ? {} : { cause: errorFields(error.cause) };
  return { error: error.message, stack: error.stack, ...cause };
}
