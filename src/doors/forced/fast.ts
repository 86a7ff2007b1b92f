import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { relay } from '../local/client.ts';
import { frame } from '../local/frames.ts';
import { socketPath } from '../local/socket-path.ts';
import { encodeAsked } from './asked.ts';
import { tellLeft } from './left.ts';
import { readForced } from './words.ts';

/**
 * What sshd asks, where a server runs that answers it. This is a program of its own, beside the rest of cpm, for sshd
 * starts it three times for every connection.
 *
 * @param words - of the command line
 * @returns the exit status; undefined when these are other words, or no server runs
 */
export async function fast(words: readonly string[]): Promise<number | undefined> {
  const dataDir = readForced(words)?.dataDir;
  return dataDir === undefined ? undefined : createAsker(words)(resolve(dataDir));
}

/** Asks the server of a data directory. @returns the exit status, or undefined when none runs */
export type Asker = (dataDir: string) => Promise<number | undefined>;

/** Signals that would end this process are told to the server first. */
export function createAsker(words: readonly string[]): Asker {
  const stdio = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  const first = frame('forced', encodeAsked(readFileSync('/proc/self/environ'), words));
  const abort = new AbortController();
  let status: number | undefined;
  for (const [name, number] of [
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(name, () => {
      status = number;
      abort.abort();
    });
  }
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  tellLeft(() => abort.abort());
  return async (dataDir) => {
    const answered = await relay(socketPath(dataDir), first, { stdio, signal: abort.signal });
    return answered === undefined ? undefined : (status ?? answered);
  };
}
