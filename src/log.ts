import { type Logger, destination as openDestination, pino } from 'pino';

/** Where events go, each with its fields; standard output belongs to clients. */
export type Log = Logger;

/**
 * Makes the log: one JSON object a line.
 *
 * @param destination - where it is written; standard error unless told
 */
export function createLog(level: string, destination?: NodeJS.WritableStream): Log {
  const options = { level, base: null };
  if (destination !== undefined) return pino(options, destination);
  return pino(options, openDestination({ dest: 2, sync: true }));
}
