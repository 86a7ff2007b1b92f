import { administersBound } from '../core/key-access.ts';
import { UserError } from '../model/errors.ts';
import type { Grantable, Right } from '../model/right.ts';
import type { Binding, Bound, Scope } from '../store/deploy-keys.ts';
import type { Key } from '../store/key-rows.ts';
import { array, boolean, maybe, object, present, string } from './answers.ts';
import type { AnswerSchema, Context } from './command.ts';

/** A deploy key that somebody made where they are no admin any more. */
interface Orphan {
  readonly fingerprint: string;
  readonly title: string;
  readonly on: string;
  readonly made_by: string;
}

/** The answer of what may take an admin's right away. */
export const changedWithKeys: AnswerSchema = object(
  { changed: boolean },
  {
    deploy_keys: array(object({ fingerprint: string, title: string, on: string, made_by: string })),
  },
);

/** One binding as answers show it. */
export const boundSchema: AnswerSchema = object({ on: string, right: string, refs: maybe });

/** @see boundSchema */
export function boundRow({ on, right, refs }: Bound) {
  return { on: on.name, right, refs: refs ?? null };
}

/**
 * Does what may take somebody's `admin` away, and lists the deploy keys that they made there: those keys go on working (S3).
 *
 * @param act - @returns whether anything changed
 */
export async function tellingOrphans(
  context: Context,
  scope: Scope,
  act: () => Promise<boolean>,
): Promise<{ changed: boolean; deploy_keys?: readonly Orphan[] }> {
  const before = new Set((await orphansIn(context, scope)).map(nameOf));
  const changed = await act();
  const after = changed ? await orphansIn(context, scope) : [];
  const deployKeys = after.filter((orphan) => !before.has(nameOf(orphan)));
  for (const { fingerprint, title, on, made_by } of deployKeys) {
    context.note(
      `deploy key ${fingerprint} (${title}) of ${on} was made by ${made_by} and goes on working; end it with: sshkey revoke ${fingerprint} --yes`,
    );
  }
  return { changed, ...(deployKeys.length > 0 ? { deploy_keys: deployKeys } : {}) };
}

function nameOf({ fingerprint, on }: Orphan): string {
  return `${fingerprint} ${on}`;
}

async function orphansIn({ core }: Context, scope: Scope): Promise<readonly Orphan[]> {
  const orphans: Orphan[] = [];
  for (const { key, bound } of await core.store.deployKeys.within(scope)) {
    const { madeBy } = bound;
    if (madeBy === undefined || (await administersBound(core, madeBy, bound))) continue;
    const name = (await core.store.users.byId(madeBy))?.name ?? madeBy;
    const { fingerprint, title } = key;
    orphans.push({ fingerprint, title, on: bound.on.name, made_by: name });
  }
  return orphans;
}

/** What `sshkey add` was told of a deploy key. */
interface Wanted {
  readonly right?: string | undefined;
  readonly refs?: string | undefined;
}

/** What a deploy key is to be bound to, by what was granted. */
export function bindingsOf({ granted }: Context, { right, refs }: Wanted): readonly Binding[] {
  const may = { right: right === 'write' ? 'write' : 'read', refs } as const;
  const { org, repos = [] } = granted;
  if (org !== undefined) {
    return [{ ...may, on: { kind: 'org', id: org.id, name: `org:${org.name}` } }];
  }
  return repos.map(({ id, fullName }) => ({
    ...may,
    on: { kind: 'repo', id, name: fullName },
  }));
}

/** The flags of a deploy key fit together. @throws UserError `usage` */
export function checkDeployFlags(args: {
  readonly repo?: readonly string[] | undefined;
  readonly org?: string | undefined;
  readonly right?: string | undefined;
  readonly refs?: string | undefined;
  readonly user?: string | undefined;
}): void {
  const { repo, org, right, refs, user } = args;
  if (repo === undefined && org === undefined) {
    if (right === undefined && refs === undefined) return;
    throw new UserError('usage', '--right and --refs are for a deploy key', {
      hint: 'say of what: --repo REPO or --org ORG',
    });
  }
  const fault =
    repo !== undefined && org !== undefined
      ? 'a deploy key takes either --repo or --org'
      : user !== undefined
        ? 'a deploy key belongs to no user: --user is for a key of a person'
        : right === undefined
          ? 'a deploy key needs --right read or --right write'
          : refs !== undefined && right !== 'write'
            ? '--refs limits writing: it takes --right write'
            : undefined;
  if (fault === undefined) return;
  throw new UserError('usage', fault, { hint: 'see the form with: help sshkey add' });
}

/** A deploy key reads and writes, and administers nothing. @throws UserError `usage` */
export function refuseAdminKey(who: string, right: string): void {
  if (!who.startsWith('key:') || right !== 'admin') return;
  throw new UserError('usage', 'a deploy key may read or write, no more');
}

/** Gives a right on a repository or an org; to a deploy key, as one of its bindings. */
export async function giveRight(
  { core, by, granted, principal, note }: Context,
  on: Binding['on'],
  right: Grantable,
): Promise<boolean> {
  const to = present(granted.who);
  if (to.kind === 'key') {
    const may = right === 'write' ? 'write' : 'read';
    const fingerprint = to.text.replace(/^key:/, '');
    await core.access.authorize(principal, { need: 'bind', fingerprint });
    const { changed, refs } = await core.store.deployKeys.grant(to.id, { on, right: may }, by);
    if (refs !== undefined) note(`it writes ${refs} alone, as before`);
    return changed;
  }
  return core.store.access.grant(on, to, { from: granted.from as Right, to: right }, by);
}

/** Whose a key is: a user's name, or the deploy key itself. */
export function ownerOf(key: Key, userName: string | undefined): string {
  return key.kind === 'deploy' ? `key:${key.fingerprint}` : (userName ?? 'nobody');
}
