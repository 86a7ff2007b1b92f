import { createBackup } from '../core/backup/create.ts';
import { readManifest } from '../core/backup/manifest.ts';
import type { RestoreReport } from '../core/backup/restore.ts';
import { verifyBackup } from '../core/backup/verify.ts';
import { UserError } from '../model/errors.ts';
import { sizeText } from '../model/units.ts';
import { array, boolean, integer, object, string, time } from './answers.ts';
import { type Context, command } from './command.ts';

const src = {
  type: 'string',
  format: 'path',
  description: 'a directory that backup create made',
} as const;

/** @throws UserError `usage` for one of no characters */
async function passphraseOf(context: Context): Promise<string> {
  const [passphrase = ''] = String(await context.readFile('-')).split(/\r?\n/);
  if (passphrase !== '') return passphrase;
  throw new UserError('usage', 'the keys need a passphrase', {
    hint: 'give it on standard input: cpm backup create DEST --with-keys < FILE',
  });
}

const create = command({
  words: 'backup create',
  summary: 'Copy everything into a directory, while the server runs',
  examples: ['backup create ./backup'],
  args: {
    dest: { type: 'string', format: 'path', description: 'a directory that is not there yet' },
    'with-keys': {
      type: 'boolean',
      description: 'the private keys too, encrypted by a passphrase on standard input',
    },
  },
  positions: ['dest'],
  required: ['dest'],
  answer: object({
    changed: boolean,
    id: string,
    path: string,
    repositories: integer,
    bytes: integer,
    with_keys: boolean,
  }),
  changes: true,
  secret: (args) => (args['with-keys'] === true ? 'Passphrase for the private keys: ' : undefined),
  needs: () => ({ need: 'operator' }),
  target: (args) => args.dest,
  run: async (context, args) => {
    const { core, by, signal } = context;
    const to = context.resolvePath(args.dest);
    const withKeys = args['with-keys'] === true;
    const passphrase = withKeys ? await passphraseOf(context) : undefined;
    context.staySilent();
    const manifest = await createBackup(core, { to, passphrase, signal, dryRun: by.dryRun });
    if (!withKeys) {
      context.note('the private keys are not in it: a server restored from it has new ones');
    }
    return {
      changed: true,
      id: manifest.id,
      path: to,
      repositories: manifest.repositories.length,
      bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
      with_keys: withKeys,
    };
  },
  text: ({ path, repositories, bytes }) =>
    `${path}: ${repositories} repositories, ${sizeText(bytes)}`,
});

const verify = command({
  words: 'backup verify',
  summary: 'Look through all of a backup: its files, its database, every repository',
  examples: ['backup verify ./backup'],
  args: { src },
  positions: ['src'],
  required: ['src'],
  answer: object({
    ok: boolean,
    id: string,
    created_at: time,
    repositories: integer,
    bytes: integer,
    faults: array(string),
  }),
  needs: () => ({ need: 'operator' }),
  target: (args) => args.src,
  run: async (context, args) => {
    context.staySilent();
    const found = await verifyBackup(context.core, context.resolvePath(args.src), context.signal);
    const { id, createdAt, repositories, bytes, faults } = found;
    return { ok: faults.length === 0, id, created_at: createdAt, repositories, bytes, faults };
  },
  text: ({ ok, created_at, repositories, bytes, faults }) =>
    ok
      ? `whole: of ${created_at}, ${repositories} repositories, ${sizeText(bytes)}`
      : faults.join('\n'),
});

const restore = command({
  words: 'backup restore',
  summary:
    'Make a data directory out of a backup; only site admins sign in until its keys are confirmed',
  examples: ['backup restore ./backup --confirm-keys'],
  args: {
    src,
    'confirm-keys': {
      type: 'boolean',
      description: 'the keys that it lists may sign in: none of them was revoked since',
    },
  },
  positions: ['src'],
  required: ['src'],
  answer: object({
    changed: boolean,
    id: string,
    repositories: integer,
    confirmed: boolean,
    new_keys: boolean,
    keys: array(object({ owner: string, fingerprint: string, title: string })),
  }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  target: (args) => args.src,
  // An empty place is filled before there is anything to ask; here there is a data directory already.
  run: async (context, args) => {
    const { core, by } = context;
    const { id, repositories } = await readManifest(context.resolvePath(args.src));
    if ((await core.store.restored.from()) !== id) {
      throw new UserError('conflict', `${core.config.dataDir} is a data directory already`, {
        hint: 'restore into a new one: --data-dir DIR',
      });
    }
    const confirms = args['confirm-keys'] === true;
    const changed = confirms && (await core.store.restored.confirm(by));
    const confirmed = (await core.store.restored.pending()) === undefined;
    const count = repositories.length;
    return { changed, id, repositories: count, confirmed, new_keys: false, keys: [] };
  },
  text: (answer) =>
    answer.keys.length > 0 || answer.repositories === 0
      ? restoredText(answer)
      : answer.changed
        ? 'The keys are confirmed: everybody signs in again.'
        : answer.confirmed
          ? 'Restored already, and its keys are confirmed.'
          : 'Restored already; only site admins sign in until --confirm-keys.',
});

interface Restored {
  readonly repositories: number;
  readonly confirmed: boolean;
  readonly new_keys: boolean;
  readonly keys: readonly { owner: string; fingerprint: string; title: string }[];
}

function restoredText({ repositories, confirmed, new_keys, keys }: Restored): string {
  return [
    `Restored ${repositories} repositories.`,
    ...(new_keys
      ? ['The backup held no private keys: this server has new ones, and shows a new host key.']
      : []),
    confirmed
      ? 'These keys sign in again:'
      : 'Only site admins sign in until you have looked through these keys:',
    ...keys.map((key) => `  ${key.fingerprint}  ${key.owner}  ${key.title}`),
    ...(confirmed
      ? []
      : ['Revoke what must not come back, then: cpm backup restore SRC --confirm-keys']),
  ].join('\n');
}

/** What a restore came to, as the command answers it. */
export function restoreAnswer(report: RestoreReport) {
  const { id, repositories, confirmed, newKeys: new_keys, keys } = report;
  return { changed: true, id, repositories, confirmed, new_keys, keys };
}

export const backupCommands = [create, verify, restore];
