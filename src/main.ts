#!/usr/bin/env node
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Config, loadConfig } from './config.ts';
import type { Core } from './core/core.ts';
import { enter } from './doors/forced/enter.ts';
import { readForced } from './doors/forced/words.ts';
import {
  answerBeforehand,
  answerOffline,
  confirmed,
  type Invocation,
  localRequest,
  placeOf,
  readInvocation,
  tell,
  terminalOf,
} from './doors/local/cli.ts';
import { askServer } from './doors/local/client.ts';
import { installHere } from './doors/local/install.ts';
import { restoreHere } from './doors/local/restore.ts';
import { readSecret } from './doors/local/secret.ts';
import { socketPath } from './doors/local/socket-path.ts';
import { takeTold } from './doors/systemd/told.ts';
import { checkHouse, withHouse } from './house.ts';
import type { ApartSays } from './programs/apart.ts';
import { serve } from './serve.ts';
import { toUserError } from './shell/print.ts';
import { createRun } from './shell/run.ts';
import { standIn } from './stand-in.ts';

/** @returns the exit status of `cpm WORDS` */
async function main(words: readonly string[]): Promise<number> {
  const stdio = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.umask(0o077);
  const forced = readForced(words);
  if (forced !== undefined) return enter(forced, words);
  try {
    const invocation = await invocationOf(words);
    if (typeof invocation === 'number') return invocation;
    const offline = await answerOffline(invocation, stdio);
    if (offline !== undefined) return offline;
    const { globals, command, args } = invocation;
    const listen = (args['listen'] as readonly string[] | undefined)?.join(',');
    const config = await loadConfig({
      flags: {
        ...(globals.dataDir === undefined ? {} : { data_dir: globals.dataDir }),
        ...(listen === undefined ? {} : { listen }),
      },
      file: globals.config,
    });
    const answered = await answerBeforehand(config, invocation, stdio);
    if (answered !== undefined) return answered;
    if (command.words === 'serve') return await startServer(config, args['takeover'] === true);
    if (command.words === 'service install') {
      return await installHere(config, invocation, stdio);
    }
    if (command.words === 'stand-in') return await standInForServer(config);
    if (command.words === 'backup restore') {
      const restored = await untilInterrupted((signal) =>
        restoreHere(config, invocation, { stdio, signal }),
      );
      if (restored !== undefined) return restored;
    }
    const question = command.secret?.(args);
    const stdin =
      question !== undefined && process.stdin.isTTY
        ? Readable.from([await readSecret(process.stdin, question)])
        : process.stdin;
    return await runLocally(config, await confirmed(words, invocation), { stdin });
  } catch (error) {
    sayWhy(error);
    return tell(stdio, error, words);
  }
}

async function startServer(config: Config, takeover: boolean): Promise<number> {
  const told = takeTold(process.env, process.pid);
  const environment = process.env;
  const say = (text: string) => void process.stdout.write(text);
  return serve(config, { told, environment, takeover, say });
}

/** Whoever started this process waits to hear why it can't do what it is for. */
function sayWhy(error: unknown): void {
  const { message, hint } = toUserError(error, 'in the log');
  const words: ApartSays = { message, ...(hint === undefined ? {} : { hint }) };
  process.send?.(words);
}

/** @returns the exit status of words that are no command */
async function invocationOf(words: readonly string[]): Promise<Invocation | number> {
  try {
    return readInvocation(words);
  } catch (fault) {
    // The gate finds the same fault in them, and puts it on record: where there is one, and it can be written now.
    const { dataDir, config: file } = placeOf(words);
    const flags = dataDir === undefined ? {} : { data_dir: dataDir };
    const status = await loadConfig({ flags, file })
      .then((config) => runLocally(config, words, { waitMs: 0 }))
      .catch(() => undefined);
    if (status !== undefined) return status;
    throw fault;
  }
}

/** Started by what sshd starts, which waits to hear how that went. */
async function standInForServer(config: Config): Promise<number> {
  const abort = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => abort.abort());
  const say = (words: ApartSays) => process.send?.(words);
  try {
    return await standIn(config, { signal: abort.signal, ready: () => say({ ready: true }) });
  } catch (error) {
    const { message, hint, status } = toUserError(error, randomUUID());
    say({ message, ...(hint === undefined ? {} : { hint }) });
    return status;
  }
}

/** A running server carries a command out; without one, this process does. @param waitMs - for others to be through */
async function runLocally(
  config: Config,
  words: readonly string[],
  { waitMs, stdin = process.stdin }: { waitMs?: number; stdin?: Readable } = {},
): Promise<number> {
  await checkHouse(config);
  const stdio = { stdin, stdout: process.stdout, stderr: process.stderr };
  const asked = { words, directory: process.cwd(), terminal: terminalOf() };
  return untilInterrupted((signal) => {
    const served = () => askServer(socketPath(config.dataDir), asked, { stdio, signal });
    const work = (core: Core) => createRun(core)(localRequest(words, stdio, signal));
    return withHouse(config, { served, work }, { signal, waitMs });
  });
}

/** @returns what `work` returns, or the status of the signal that ended it */
async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T | number> {
  const abort = new AbortController();
  let interrupted: number | undefined;
  for (const [signal, status] of Object.entries(interruptedStatus)) {
    process.once(signal, () => {
      interrupted = status;
      abort.abort();
    });
  }
  try {
    const done = await work(abort.signal);
    return interrupted ?? done;
  } catch (error) {
    if (interrupted !== undefined) return interrupted;
    throw error;
  }
}

/** What a shell expects of a program that a signal ended. */
const interruptedStatus = { SIGINT: 130, SIGTERM: 143 } as const;

void main(process.argv.slice(2)).then((status) => {
  // Exit only once what was written has left; a stuck child or socket must not keep a finished program alive.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(status)));
});
