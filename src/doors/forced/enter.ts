import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import type { Config } from '../../config.ts';
import { UserError } from '../../model/errors.ts';
import { relay } from '../local/client.ts';
import { frame } from '../local/frames.ts';
import { socketPath } from '../local/socket-path.ts';
import { encodeAsked } from './asked.ts';
import { tellLeft } from './left.ts';
import type { ForcedWords } from './words.ts';

/**
 * What sshd asks, carried out by Node: as the small client does where a server listens, and without one too. Then sshd's
 * question about a key is answered from the database, and for a request a server is started that stands in until nobody
 * needs it any more: one process has the data directory, however many come at once.
 *
 * @returns the exit status
 */
export async function enter(forced: ForcedWords, words: readonly string[]): Promise<number> {
  const stdio = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.umask(0o077);
  try {
    const dataDir = forced.dataDir === undefined ? undefined : resolve(forced.dataDir);
    const first = frame('forced', encodeAsked(readFileSync('/proc/self/environ'), words));
    const { signal, status } = interruptions();
    const ask = (folder: string) => relay(socketPath(folder), first, { stdio, signal });
    const answered = dataDir === undefined ? undefined : await ask(dataDir);
    if (answered !== undefined) return status() ?? answered;
    const config = await settings(forced, dataDir);
    if (forced.command === 'authorized-keys') return await answerKey(forced, config);
    return status() ?? (await shell(() => ask(config.dataDir), config, forced.config));
  } catch (error) {
    return tell(error);
  }
}

/** Signals that would end this process are told to the server first. */
function interruptions(): { signal: AbortSignal; status(): number | undefined } {
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
  tellLeft(() => abort.abort());
  return { signal: abort.signal, status: () => status };
}

/** The settings by flags, by file and by default: the client may have had a say in the environment (S29). */
async function settings({ config: file }: ForcedWords, dataDir?: string): Promise<Config> {
  const { loadConfig } = await import('../../config.ts');
  const { checkOwner } = await import('../../core/house.ts');
  const flags = dataDir === undefined ? {} : { data_dir: dataDir };
  const config = await loadConfig({ flags, file }, { HOME: userInfo().homedir });
  if (await checkOwner(config.dataDir)) return config;
  throw new UserError('not_found', `no data directory at ${config.dataDir}`);
}

async function answerKey(
  forced: Extract<ForcedWords, { command: 'authorized-keys' }>,
  config: Config,
): Promise<number> {
  const { openSignIns } = await import('../../store/sign-ins.ts');
  const { keyLine } = await import('./key-line.ts');
  const store = openSignIns(config.databasePath);
  try {
    const place = { dataDir: config.dataDir, config: forced.config };
    process.stdout.write(await keyLine(store, forced, place));
    return 0;
  } finally {
    await store.close();
  }
}

/** Asks until a server answers; where none is, it starts one. */
async function shell(
  ask: () => Promise<number | undefined>,
  config: Config,
  file: string | undefined,
): Promise<number> {
  const { startApart } = await import('../../programs/apart.ts');
  const program = [process.execPath, process.argv[1] ?? ''];
  const where = ['--data-dir', config.dataDir, ...(file === undefined ? [] : ['--config', file])];
  for (;;) {
    const answered = await ask();
    if (answered !== undefined) return answered;
    await startApart([...program, ...where, 'stand-in'], { HOME: userInfo().homedir });
  }
}

async function tell(error: unknown): Promise<number> {
  const { toUserError, errorText } = await import('../../shell/print.ts');
  const known = toUserError(error, 'none');
  process.stderr.write(`${errorText(known)}\n`);
  return known.status;
}
