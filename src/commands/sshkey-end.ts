import { UserError } from '../model/errors.ts';
import { fingerprint as fingerprintOf, parsePublicKey } from '../model/sshkey.ts';
import { counted, readDurationMs, readMoment } from '../model/units.ts';
import type { Key } from '../store/key-rows.ts';
import {
  array,
  boolean,
  integer,
  maybe,
  maybeTime,
  object,
  present,
  string,
  time,
} from './answers.ts';
import { type Context, command } from './command.ts';
import { ownerOf } from './deploy-keys.ts';
import { endKeyAt, endKeys, needsNoProof, replaced } from './key-ends.ts';
import { rotateOwn } from './sshkey-own.ts';

/** Pushes that a revocation lists; the audit has them all. */
const shownPushes = 1000;

const fingerprint = {
  type: 'string',
  format: 'fingerprint',
  description: 'as sshkey list shows it',
} as const;

const rotate = command({
  words: 'sshkey rotate',
  summary:
    "Put a new key in the place of an old one, with its owner, its title and what it may do. With --generate, on the machine itself, of a key of this server's own: of what it signs in with elsewhere, or of a host key, which the old one announces to the servers that know this one; it is shown when the overlap is over",
  examples: [
    'sshkey rotate SHA256:… --key - < new.pub',
    'sshkey rotate SHA256:… --key - --overlap 7d < new.pub',
    'sshkey rotate SHA256:… --generate --overlap 7d',
  ],
  args: {
    fingerprint,
    key: {
      type: 'string',
      format: 'file',
      description: 'the new public key: a file, or - for standard input',
    },
    overlap: {
      type: 'string',
      format: 'duration',
      description:
        "how long both work, such as 7d; not at all unless told, and 7d for a server's own",
    },
    generate: { type: 'boolean', description: "make the new one here, in a server's own files" },
    expires: {
      type: 'string',
      format: 'moment',
      description: 'when the new one ends; it gets the time that the old one got unless told',
    },
  },
  positions: ['fingerprint'],
  required: ['fingerprint'],
  answer: object({
    changed: boolean,
    id: string,
    fingerprint: string,
    state: string,
    old_ends_at: maybeTime,
  }),
  changes: true,
  check: ({ key, generate }) => {
    if ((key === undefined) === (generate === true)) return;
    throw new UserError('usage', 'sshkey rotate needs either --key or --generate', {
      hint: "--key FILE has the new public key; --generate makes one of this server's own",
    });
  },
  instead: ({ generate }) => (generate === true ? rotateOwn : undefined),
  needs: (args) => ({ need: 'key', fingerprint: args.fingerprint, act: 'change' }),
  target: (args) => args.fingerprint,
  run: async (context, args) => {
    const { core, by, granted } = context;
    const old = present(granted.key);
    const key = parsePublicKey(String(await context.readFile(present(args.key))));
    if (old.state !== 'active') {
      throw new UserError(
        'conflict',
        `${old.fingerprint} is ${old.state}: nothing takes its place`,
        {
          hint: 'add the new one with: sshkey add',
        },
      );
    }
    const expiresAt =
      args.expires === undefined
        ? await sameTimeAgain(context, old)
        : readMoment(args.expires, new Date(), 'ahead');
    const overlapMs = args.overlap === undefined ? 0 : (readDurationMs(args.overlap) ?? 0);
    const verified = needsNoProof(context, key);
    const next = { key, verified, title: old.title, expiresAt };
    const { ends, ...added } = await core.store.keys.replace(old, { ...next, overlapMs }, by);
    if (ends !== undefined) endKeyAt(context, ends, replaced);
    const stored = await core.store.keys.byId(added.id);
    const state = stored?.state ?? (verified ? 'active' : 'pending');
    const told = { fingerprint: fingerprintOf(key.blob), state };
    return { ...added, ...told, old_ends_at: ends?.at ?? old.expiresAt ?? null };
  },
  text: (answer) =>
    answer.state === 'pending'
      ? `${answer.fingerprint} is pending; the old key works until it is proven with: sshkey verify ${answer.fingerprint}`
      : `${answer.fingerprint} is ${answer.state}; the old key ends at ${answer.old_ends_at}.`,
});

/** The end of a key that gets as much time as the old one had, but no more than the key that one is signed in with (S3). */
async function sameTimeAgain({ core, by, note }: Context, old: Key): Promise<string | undefined> {
  if (old.expiresAt === undefined) return undefined;
  const spanMs = Date.parse(old.expiresAt) - Date.parse(old.addedAt);
  const end = new Date(Date.now() + spanMs).toISOString();
  const own = by.keyId === undefined ? undefined : await core.store.keys.byId(by.keyId);
  if (own?.expiresAt === undefined || own.expiresAt > end) return end;
  note(`it ends with the key that you signed in with: ${own.expiresAt}`);
  return own.expiresAt;
}

const revoke = command({
  words: 'sshkey revoke',
  summary: 'End a key for good, and the keys that it added; what it has open is closed',
  examples: [
    'sshkey revoke SHA256:… --yes',
    'sshkey revoke SHA256:… --since 7d --yes',
    'sshkey revoke --all --user ana --yes',
  ],
  args: {
    fingerprint,
    all: { type: 'boolean', description: 'all keys of the user' },
    user: { type: 'string', format: 'name', description: 'whose, instead of your own' },
    since: { type: 'string', format: 'moment', description: 'list what was pushed with it since' },
  },
  positions: ['fingerprint'],
  answer: object({
    changed: boolean,
    revoked: integer,
    along: integer,
    keys: array(object({ fingerprint: string, title: string, owner: string, along: boolean })),
    pushes: array(
      object({ at: time, repo: maybe, ref: string, old: string, new: string, principal: string }),
    ),
  }),
  changes: true,
  asks: true,
  needs: ({ fingerprint: wanted, all, user }) => {
    if ((wanted === undefined) !== (all === true)) {
      throw new UserError('usage', 'sshkey revoke takes either a FINGERPRINT or --all');
    }
    if (wanted === undefined || user !== undefined) return { need: 'self', user };
    return { need: 'key', fingerprint: wanted, act: 'change' };
  },
  target: (args) => args.fingerprint ?? args.user,
  run: async (context, args) => {
    const { core, by } = context;
    const what = await revoked(context, args.fingerprint);
    // Read first: a dry run is to tell of them too.
    const everything = await core.store.keys.family(what);
    const pushes = args.since === undefined ? [] : await pushesWith(core, everything, args.since);
    const ended = await core.store.keys.revoke(what, by);
    endKeys(context, ended, new UserError('denied', 'the key was revoked'));
    const keys = [];
    for (const id of ended) {
      const key = present(await core.store.keys.byId(id));
      const owner = key.userId && (await core.store.users.byId(key.userId))?.name;
      const isMeant = 'keyId' in what ? id === what.keyId : key.userId === what.userId;
      const { fingerprint: told, title } = key;
      keys.push({ fingerprint: told, title, owner: ownerOf(key, owner), along: !isMeant });
    }
    const along = keys.filter((key) => key.along).length;
    return { changed: ended.length > 0, revoked: ended.length, along, keys, pushes };
  },
  text: ({ revoked: count, along, keys, pushes }) =>
    [
      count === 0
        ? 'It was revoked already.'
        : `Revoked ${counted(count, 'key')}${along === 0 ? '' : `, ${along} of them taken along`}.`,
      ...keys.map(revokedLine),
      ...pushes.map(
        (push) =>
          `${push.at} ${push.repo ?? '(deleted)'} ${push.ref} ${push.old.slice(0, 12)} -> ${push.new.slice(0, 12)}`,
      ),
    ].join('\n'),
});

/** A key that was taken along says whose it is: it was added with the revoked one, for whomever. */
function revokedLine(key: { fingerprint: string; title: string; owner: string; along: boolean }) {
  const line = `  ${key.fingerprint} ${key.title}`;
  if (!key.along) return line;
  const whose = key.owner.startsWith('key:') ? 'a deploy key' : `of ${key.owner}`;
  return `${line} (${whose}, added with it)`;
}

async function revoked(
  { core, granted }: Context,
  wanted: string | undefined,
): Promise<{ keyId: string } | { userId: string }> {
  if (granted.key !== undefined) return { keyId: granted.key.id };
  const owner = present(granted.user);
  if (wanted === undefined) return { userId: owner.id };
  const key = await core.store.keys.ofUser(owner.id, wanted);
  if (key !== undefined) return { keyId: key.id };
  throw new UserError('not_found', `${wanted}: ${owner.name} has no such key`, {
    hint: 'see them with: sshkey list',
  });
}

async function pushesWith(core: Context['core'], keyIds: readonly string[], since: string) {
  const from = readMoment(since, new Date(), 'ago');
  const found = await core.store.pushes.madeWith(keyIds, from, shownPushes);
  return found.map(({ namespace, name, ...push }) => ({
    at: push.at,
    repo: namespace === null || name === null ? null : `${namespace}/${name}`,
    ref: push.ref,
    old: push.old,
    new: push.new,
    principal: push.principal,
  }));
}

export const sshkeyEndCommands = [rotate, revoke];
