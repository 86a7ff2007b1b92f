import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generateEd25519 } from '../model/ed25519.ts';
import { UserError } from '../model/errors.ts';
import { fingerprint, parsePublicKey } from '../model/sshkey.ts';
import { verifySshSignature } from '../model/sshsig.ts';
import { readMoment } from '../model/units.ts';
import type { Key } from '../store/keys.ts';
import type { User } from '../store/users.ts';
import { boolean, maybe, maybeTime, object, paged, present, string, time } from './answers.ts';
import { type Context, command, list } from './command.ts';

/** The namespace of the signature that shows possession: a key's other signatures can't stand for it. */
const namespace = 'cpm-key';

const pageRows = 500;
const user = { type: 'string', format: 'name', description: 'whose, instead of your own' } as const;

const add = command({
  words: 'sshkey add',
  summary: 'Add a public key; your own is pending until you prove that you have its other half',
  examples: [
    'sshkey add - --title laptop < laptop.pub',
    'sshkey add - --user ana --expires 90d < ana.pub',
  ],
  args: {
    file: {
      type: 'string',
      format: 'file',
      description: 'the public key: a file, or - for standard input',
    },
    user,
    title: { type: 'string', format: 'text', description: "the key's comment unless told" },
    expires: { type: 'string', format: 'moment', description: 'when it ends: 90d, or a time' },
  },
  positions: ['file'],
  required: ['file'],
  answer: object({ changed: boolean, id: string, fingerprint: string, state: string }),
  changes: true,
  needs: (args) => ({ need: 'self', user: args.user }),
  target: (args) => args.user,
  run: async (context, args) => {
    const { core, by, granted } = context;
    const owner = present(granted.user);
    const key = parsePublicKey(String(await context.readFile(args.file)));
    const expiresAt = args.expires && readMoment(args.expires, new Date(), 'ahead');
    await refuseOutliving(context, expiresAt);
    const signedWith = 'fingerprint' in context.principal ? context.principal.fingerprint : '';
    const trusted = granted.standing.siteAdmin || granted.standing.kind === 'operator';
    const verified = trusted || signedWith === fingerprint(key.blob);
    const added = await core.store.keys.add(
      { key, userId: owner.id, verified, title: args.title, expiresAt },
      by,
    );
    const stored = await core.store.keys.byId(added.id);
    const state = stored?.state ?? (verified ? 'active' : 'pending');
    return { ...added, fingerprint: fingerprint(key.blob), state };
  },
  text: (answer) =>
    answer.state === 'pending'
      ? `${answer.fingerprint} is pending.\nProve that you have its private half with: sshkey verify ${answer.fingerprint}`
      : `${answer.fingerprint} is ${answer.state}${answer.changed ? '' : ', as before'}.`,
});

/**
 * A key adds none that lasts longer than itself (S3).
 *
 * @param expiresAt - when the new key is to end; undefined for one without an end
 * @throws UserError `denied`
 */
export async function refuseOutliving(
  { core, by }: Pick<Context, 'core' | 'by'>,
  expiresAt: string | undefined,
): Promise<void> {
  const mine = by.keyId === undefined ? undefined : await core.store.keys.byId(by.keyId);
  if (mine?.expiresAt === undefined) return;
  if (expiresAt !== undefined && expiresAt <= mine.expiresAt) return;
  throw new UserError(
    'denied',
    `the key you signed in with ends at ${mine.expiresAt}: it can't add one that lasts longer`,
    {
      hint: `add it with: sshkey add - --expires ${mine.expiresAt}; or sign in with another key`,
    },
  );
}

const verify = command({
  words: 'sshkey verify',
  summary: 'Put a pending key in force by a signature; without one on stdin, print what to sign',
  examples: ['sshkey verify SHA256:…', 'sshkey verify SHA256:… < signature'],
  args: {
    fingerprint: { type: 'string', format: 'fingerprint', description: 'of the pending key' },
  },
  positions: ['fingerprint'],
  required: ['fingerprint'],
  answer: object({ changed: boolean, state: string, challenge: maybe }),
  changes: true,
  needs: () => ({ need: 'self', user: undefined }),
  target: (args) => args.fingerprint,
  run: async (context, args) => {
    const { core, by, granted } = context;
    const key = await core.store.keys.ofUser(present(granted.user).id, args.fingerprint);
    if (key === undefined)
      throw new UserError('not_found', `${args.fingerprint}: you have no such key`);
    if (key.state !== 'pending') return { changed: false, state: key.state, challenge: null };
    const challenge = present(await core.store.keys.challenge(key.id));
    const signature = String(await context.readFile('-'));
    if (signature.trim() === '') return { changed: false, state: key.state, challenge };
    if (!verifySshSignature(signature, { blob: key.blob, namespace, message: challenge })) {
      throw new UserError(
        'denied',
        `this is no signature by ${key.fingerprint} over the text that was asked for`,
        {
          hint: `see what to sign with: sshkey verify ${key.fingerprint} < /dev/null`,
        },
      );
    }
    await core.store.keys.verify(key, by);
    return { changed: true, state: 'active', challenge: null };
  },
  text: ({ state, challenge }) =>
    challenge === null
      ? `The key is ${state}.`
      : [
          'On the machine that has the private key, sign this text, and send the signature here:',
          `  printf %s ${challenge} | ssh-keygen -Y sign -n ${namespace} -f PRIVATE-KEY > signature`,
          '  ssh cpm@server sshkey verify FINGERPRINT < signature',
        ].join('\n'),
});

const listKeys = list({
  words: 'sshkey list',
  summary: "Your keys; the operator's list is everybody's",
  examples: ['sshkey list', 'sshkey list --user ana'],
  args: { user },
  row: object({
    fingerprint: string,
    type: string,
    title: string,
    owner: string,
    state: string,
    expires_at: maybeTime,
    added_at: time,
    added_by: string,
    last_used_at: maybeTime,
  }),
  columns: ['FINGERPRINT', 'OWNER', 'STATE', 'TITLE', 'ENDS', 'LAST USED'],
  needs: ({ user }) => (user === undefined ? { need: 'account' } : { need: 'self', user }),
  target: (args) => args.user,
  run: async ({ core, principal, granted }) => {
    await core.signIns.flush();
    const owner = granted.user ?? (principal.kind === 'user' ? principal : undefined);
    return owner === undefined ? everybodysKeys(core) : keyRows(core, owner);
  },
  cells: (key) => [
    key.fingerprint,
    key.owner,
    key.state,
    key.title,
    key.expires_at ?? 'never',
    key.last_used_at ?? 'never',
  ],
});

async function* keyRows(core: Context['core'], owner: { id: string; name: string }) {
  for (const key of await core.store.keys.listOf(owner.id)) yield keyRow(key, owner.name);
}

async function* everybodysKeys(core: Context['core']) {
  const { users } = core.store;
  const all = paged<User>((after) => users.page(after?.name ?? '', pageRows));
  for await (const user of all) yield* keyRows(core, user);
}

function keyRow(key: Key, owner: string) {
  return {
    fingerprint: key.fingerprint,
    type: key.type,
    title: key.title,
    owner,
    state: key.state,
    expires_at: key.expiresAt ?? null,
    added_at: key.addedAt,
    added_by: key.addedBy,
    last_used_at: key.lastUsedAt ?? null,
  };
}

const revoke = command({
  words: 'sshkey revoke',
  summary: 'End a key for good, and the keys that it added; what it has open is closed',
  examples: ['sshkey revoke SHA256:… --yes', 'sshkey revoke --all --user ana --yes'],
  args: {
    fingerprint: { type: 'string', format: 'fingerprint', description: 'as sshkey list shows it' },
    all: { type: 'boolean', description: 'all keys of the user' },
    user,
  },
  positions: ['fingerprint'],
  answer: object({ changed: boolean, revoked: { type: 'integer' } }),
  changes: true,
  asks: true,
  check: ({ fingerprint, all }) => {
    if ((fingerprint === undefined) === (all === true)) return;
    throw new UserError('usage', 'sshkey revoke takes either a FINGERPRINT or --all');
  },
  needs: ({ fingerprint, user }) => {
    if (fingerprint === undefined || user !== undefined) return { need: 'self', user };
    return { need: 'key', fingerprint };
  },
  target: (args) => args.fingerprint ?? args.user,
  run: async ({ core, by, granted }, args) => {
    const owner = present(granted.user);
    const { fingerprint: wanted } = args;
    const key = wanted === undefined ? undefined : await core.store.keys.ofUser(owner.id, wanted);
    if (wanted !== undefined && key === undefined) {
      throw new UserError('not_found', `${wanted}: ${owner.name} has no such key`, {
        hint: 'see them with: sshkey list',
      });
    }
    const what = key === undefined ? { userId: owner.id } : { keyId: key.id };
    const ended = await core.store.keys.revoke(what, by);
    if (!by.dryRun) core.sessions.endKeys(ended, new UserError('denied', 'the key was revoked'));
    return { changed: ended.length > 0, revoked: ended.length };
  },
  text: ({ revoked }) =>
    revoked === 0
      ? 'It was revoked already.'
      : `Revoked ${revoked} ${revoked === 1 ? 'key' : 'keys'}.`,
});

const generate = command({
  words: 'sshkey generate',
  summary: 'Make an ed25519 key pair',
  examples: ['sshkey generate --name deploy --out ./deploy_ed25519'],
  args: {
    name: { type: 'string', format: 'name', description: 'of the key; id unless told' },
    out: {
      type: 'string',
      format: 'path',
      description: 'the private key; keys/NAME_ed25519 in the data directory unless told',
    },
    comment: { type: 'string', format: 'text', description: 'the name unless told' },
  },
  answer: object({
    changed: boolean,
    fingerprint: string,
    private_key: string,
    public_key: string,
  }),
  changes: true,
  needs: () => ({ need: 'operator' }),
  run: async ({ core, by, resolvePath }, args) => {
    const name = args.name ?? 'id';
    const path =
      args.out === undefined
        ? join(core.config.dataDir, 'keys', `${name}_ed25519`)
        : resolvePath(args.out);
    const pair = generateEd25519(args.comment ?? name);
    if (!by.dryRun) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeNew(path, pair.privateKey, 0o600);
      await writeNew(`${path}.pub`, `${pair.publicLine}\n`, 0o644);
    }
    const { blob } = parsePublicKey(pair.publicLine);
    return {
      changed: true,
      fingerprint: fingerprint(blob),
      private_key: path,
      public_key: `${path}.pub`,
    };
  },
  text: (answer) =>
    `${answer.fingerprint}\nprivate: ${answer.private_key}\npublic:  ${answer.public_key}`,
});

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch((cause: NodeJS.ErrnoException) => {
    const taken = cause.code === 'EEXIST';
    throw new UserError(
      taken ? 'conflict' : 'usage',
      `${path}: ${taken ? 'there is a file already' : cause.code}`,
      { cause },
    );
  });
  try {
    await file.writeFile(text);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

export const sshkeyCommands = [add, verify, listKeys, revoke, generate];
