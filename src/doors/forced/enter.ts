import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import type { Config } from '../../config.ts';
import { UserError } from '../../model/errors.ts';
import { type Asker, createAsker } from './fast.ts';
import type { ForcedWords } from './words.ts';

/**
 * What sshd asks, carried out by Node: as the small client does where a server listens, and without one too. Then sshd's
 * question about a key is answered from the database, and for a request a server is started that stands in until nobody
 * needs it any more: one process has the data directory, however many come at once.
 *
 * @returns the exit status
 */
export async function enter(forced: ForcedWords, words: readonly string[]): Promise<number> {
  try {
    const dataDir = forced.dataDir === undefined ? undefined : resolve(forced.dataDir);
    const ask = createAsker(words);
    const answered = dataDir === undefined ? undefined : await ask(dataDir);
    if (answered !== undefined) return answered;
    const config = await settings(forced, dataDir);
    if (forced.command === 'authorized-keys') return await answerKey(forced, config);
    return await shell(ask, config, forced.config);
  } catch (error) {
    return tell(error);
  }
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
async function shell(ask: Asker, config: Config, file: string | undefined): Promise<number> {
  const { startApart } = await import('../../programs/apart.ts');
  const program = [process.execPath, process.argv[1] ?? ''];
  const where = ['--data-dir', config.dataDir, ...(file === undefined ? [] : ['--config', file])];
  for (;;) {
    const answered = await ask(config.dataDir);
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
