import { mkdir, readFile, realpath } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { type Config, checkConfigText, faulty, settingFault } from '../config.ts';
import { editConfigText } from '../config-file.ts';
import { UserError } from '../model/errors.ts';
import { writeDurably } from '../programs/files.ts';
import { type Key, startOnly, variableOf } from '../settings.ts';
import { boolean, object, string } from './answers.ts';
import { type Context, command, list } from './command.ts';

const key = { type: 'string', format: 'setting', description: 'as config list shows it' } as const;

type Entry = Config['entries'][number];

function entryOf({ entries }: Config, wanted: Key): Entry {
  const entry = entries.find((each) => each.key === wanted);
  if (entry === undefined) throw new Error(`the setting ${wanted} has no value`);
  return entry;
}

/** What counts where a setting is silent and something else says what it is. */
const derived: Partial<Record<Key, (core: Context['core']) => string | Promise<string>>> = {
  data_dir: ({ config }) => config.dataDir,
  ssh_key_path: ({ config }) => config.sshKeyPath,
  database_path: ({ config }) => config.databasePath,
  default_namespace: async ({ store }) => (await store.users.firstAdmin())?.name ?? '',
  host_keys: ({ config }) => config.hostKeyPaths.join(','),
  public_url: (core) => core.publicUrl(),
};

async function inForce(core: Context['core'], entry: Entry): Promise<Entry> {
  if (entry.value !== '') return entry;
  return { ...entry, value: (await derived[entry.key]?.(core)) ?? '' };
}

/**
 * A running server answers for the file that it reads, and for no other.
 *
 * @throws UserError `conflict` when another one was named
 */
async function checkFile({ core, configFile }: Context): Promise<void> {
  const { file } = core.config;
  if (configFile === undefined || configFile === file) return;
  const [named, read] = await Promise.all(
    [configFile, file].map((path) => realpath(path).catch(() => path)),
  );
  if (named === read) return;
  throw new UserError('conflict', `the server that runs here reads ${file}, not ${configFile}`, {
    hint: 'leave --config out; another file is checked with: config validate FILE',
  });
}

const get = command({
  words: 'config get',
  summary: 'One setting as it is in force',
  examples: ['config get limits.idle'],
  args: { key },
  positions: ['key'],
  required: ['key'],
  answer: object({ key: string, value: string, origin: string }),
  needs: () => ({ need: 'site-admin' }),
  run: async (context, args) => {
    await checkFile(context);
    const { core } = context;
    return inForce(core, entryOf(core.config, args.key as Key));
  },
  text: ({ value }) => value,
});

const listSettings = list({
  words: 'config list',
  summary: 'All settings, and where each comes from',
  examples: ['config list', 'config list --origin'],
  args: { origin: { type: 'boolean', description: 'with flag, environment, file or default' } },
  row: object({ key: string, value: string, origin: string }),
  columns: ['KEY', 'VALUE', 'ORIGIN'],
  hidden: ({ origin }) => (origin === true ? [] : ['ORIGIN']),
  needs: () => ({ need: 'site-admin' }),
  run: async (context) => {
    await checkFile(context);
    return entryRows(context.core);
  },
  cells: (row) => [row.key, row.value, row.origin],
});

async function* entryRows(core: Context['core']) {
  for (const entry of core.config.entries) yield await inForce(core, entry);
}

const path = command({
  words: 'config path',
  summary: 'The configuration file',
  examples: ['config path'],
  args: {},
  answer: object({ path: string }),
  needs: () => ({ need: 'site-admin' }),
  run: async (context) => {
    await checkFile(context);
    return { path: context.core.config.file };
  },
  text: (answer) => answer.path,
});

const validate = command({
  words: 'config validate',
  summary: 'Check a configuration file as a whole',
  examples: ['config validate', 'config validate - < config.yaml'],
  args: {
    file: {
      type: 'string',
      format: 'file',
      description: 'a file, or - for standard input; the one in use, as it is now, unless told',
    },
  },
  positions: ['file'],
  answer: object({ ok: boolean, path: string }),
  needs: () => ({ need: 'site-admin' }),
  run: async (context, { file }) => {
    const { core, readFile, resolvePath } = context;
    if (file === undefined) {
      await checkFile(context);
      await core.config.readAgain();
      return { ok: true, path: core.config.file };
    }
    const path = file === '-' ? file : resolvePath(file);
    await checkConfigText(String(await readFile(file)), file === '-' ? 'standard input' : path);
    return { ok: true, path };
  },
  beforehand: async (config, { file }) => {
    if (file === undefined) return { ok: true, path: config.file };
    const path = file === '-' ? file : resolve(file);
    const content = file === '-' ? await buffer(process.stdin) : await contentOf(path);
    await checkConfigText(String(content), file === '-' ? 'standard input' : path);
    return { ok: true, path };
  },
  text: ({ path: told }) => `${told === '-' ? 'What was sent' : told} is valid.`,
});

async function contentOf(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UserError('usage', `${path} can't be read: ${cause.code ?? 'unreadable'}`, { cause });
  });
}

/** What became of a setting, and from when on it counts. */
interface Edited {
  readonly changed: boolean;
  /** Whether a running server goes on as before until it is started again. */
  readonly restart: boolean;
}

async function edit(context: Context, wanted: Key, value: string | undefined): Promise<Edited> {
  await checkFile(context);
  const { core, by, note } = context;
  const { file } = core.config;
  const before = await readFile(file, 'utf8').catch(() => '');
  const after = await editConfigText(before, wanted, value);
  if (after === before) return { changed: false, restart: false };
  await checkConfigText(after, file);
  if (by.dryRun) return { changed: true, restart: core.sessions.serving && startOnly.has(wanted) };
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await writeDurably(file, after, 0o600);
  const { config, waiting } = await core.reconfigure();
  const { origin } = entryOf(config, wanted);
  if (origin === 'flag' || origin === 'environment') {
    const what = origin === 'flag' ? 'a flag' : variableOf(wanted);
    note(`${wanted} is given by ${what} besides, which counts instead of the file`);
  }
  return { changed: true, restart: core.sessions.serving && waiting.includes(wanted) };
}

const edited = object({ changed: boolean, restart: boolean });

const set = command({
  words: 'config set',
  summary: 'Change a setting in the configuration file; comments and order stay',
  examples: ['config set limits.idle 5m'],
  args: { key, value: { type: 'string', format: 'text', description: 'its new value' } },
  positions: ['key', 'value'],
  required: ['key', 'value'],
  answer: edited,
  changes: true,
  check: (args) => {
    const fault = settingFault(args.key as Key, args.value);
    if (fault !== undefined) throw faulty([{ where: 'command line', text: fault }]);
  },
  needs: () => ({ need: 'operator' }),
  target: (args) => args.key,
  run: (context, args) => edit(context, args.key as Key, args.value),
  text: ({ changed, restart }) => (changed ? `Set; ${since(restart)}.` : 'Set already.'),
});

const unset = command({
  words: 'config unset',
  summary: 'Take a setting out of the configuration file',
  examples: ['config unset limits.idle'],
  args: { key },
  positions: ['key'],
  required: ['key'],
  answer: edited,
  changes: true,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.key,
  run: (context, args) => edit(context, args.key as Key, undefined),
  text: ({ changed, restart }) => (changed ? `Taken out; ${since(restart)}.` : 'Not there.'),
});

function since(restart: boolean): string {
  return restart ? 'it counts from the next start of the server on' : 'it counts from now on';
}

export const configCommands = [get, listSettings, path, validate, set, unset];
