import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { faulty, loadConfig, settingFault } from '../config.ts';
import { editConfigText } from '../config-file.ts';
import { UserError } from '../model/errors.ts';
import { quoted } from '../model/repo.ts';
import { writeDurably } from '../programs/files.ts';
import { isKey, type Key, nearestKey } from '../settings.ts';
import { boolean, object, string } from './answers.ts';
import { type Context, command, list } from './command.ts';

const key = { type: 'string', format: 'text', description: 'as config list shows it' } as const;

function checkKey(word: string): Key {
  if (isKey(word)) return word;
  const near = nearestKey(word);
  throw new UserError('usage', `${quoted(word)} is no setting`, {
    hint: near === undefined ? 'see them with: config list' : `did you mean ${near}?`,
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
  run: async ({ core }, args) => {
    const wanted = checkKey(args.key);
    const entry = core.config.entries.find((each) => each.key === wanted);
    if (entry === undefined) throw new Error(`the setting ${wanted} has no value`);
    return entry;
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
  run: async ({ core }) => entryRows(core),
  cells: (row) => [row.key, row.value, row.origin],
});

async function* entryRows(core: Context['core']) {
  yield* core.config.entries;
}

const path = command({
  words: 'config path',
  summary: 'The configuration file',
  examples: ['config path'],
  args: {},
  answer: object({ path: string }),
  needs: () => ({ need: 'operator' }),
  run: async ({ core }) => ({ path: core.config.file }),
  text: (answer) => answer.path,
});

const validate = command({
  words: 'config validate',
  summary: 'Check a configuration file as a whole',
  examples: ['config validate ./config.yaml'],
  args: { file: { type: 'string', format: 'path', description: 'the one in use unless told' } },
  positions: ['file'],
  answer: object({ ok: boolean, path: string }),
  needs: () => ({ need: 'operator' }),
  run: async ({ core, resolvePath }, args) => {
    const file = args.file === undefined ? core.config.file : resolvePath(args.file);
    if (args.file !== undefined) await loadConfig({ flags: {}, file });
    return { ok: true, path: file };
  },
  text: (answer) => `${answer.path} is valid.`,
});

async function edit({ core, by }: Context, wanted: Key, value: string | undefined) {
  const { file } = core.config;
  const before = await readFile(file, 'utf8').catch(() => '');
  const after = await editConfigText(before, wanted, value);
  if (after === before) return { changed: false, restart: false };
  if (!by.dryRun) {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeDurably(file, after, 0o600);
  }
  return { changed: true, restart: true };
}

const set = command({
  words: 'config set',
  summary: 'Change a setting in the configuration file; comments and order stay',
  examples: ['config set limits.idle 5m'],
  args: { key, value: { type: 'string', format: 'text', description: 'its new value' } },
  positions: ['key', 'value'],
  required: ['key', 'value'],
  answer: object({ changed: boolean, restart: boolean }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.key,
  run: async (context, args) => {
    const wanted = checkKey(args.key);
    const fault = settingFault(wanted, args.value);
    if (fault !== undefined) throw faulty([{ where: 'command line', text: fault }]);
    return edit(context, wanted, args.value);
  },
  text: (answer) => (answer.changed ? 'Set; it counts from the next start on.' : 'Set already.'),
});

const unset = command({
  words: 'config unset',
  summary: 'Take a setting out of the configuration file',
  examples: ['config unset limits.idle'],
  args: { key },
  positions: ['key'],
  required: ['key'],
  answer: object({ changed: boolean, restart: boolean }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.key,
  run: async (context, args) => edit(context, checkKey(args.key), undefined),
  text: (answer) =>
    answer.changed ? 'Taken out; it counts from the next start on.' : 'Not there.',
});

export const configCommands = [get, listSettings, path, validate, set, unset];
