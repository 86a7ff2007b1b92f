import { UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { type Decision, decide, reaches, type Standing } from '../model/right.ts';
import type { Bound } from '../store/deploy-keys.ts';
import type { Key } from '../store/key-rows.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import type { User } from '../store/users.ts';
import type { Ask, Granted } from './ask.ts';
import { inviteeFault, peerFault } from './peer-access.ts';

/** What deciding about keys asks of its surroundings. */
export interface KeyAccessParts {
  readonly store: Store;
  readonly access: {
    rightOf(user: User, repo: Repository): Promise<Decision>;
  };
}

/** How much of a key is one's own: all, some of what it is bound to, or nothing. */
type Share = 'all' | 'some' | 'none';

/** Whoever asks, as it stands at this moment. */
interface Asker {
  readonly principal: Principal;
  readonly standing: Standing;
}

/** Decides about one key, or about binding one to more. @throws UserError `not_found`, `denied`, `conflict` */
export function authorizeKey(
  parts: KeyAccessParts,
  asker: Asker,
  ask: Extract<Ask, { need: 'key' | 'bind' }>,
): Promise<Granted> {
  return ask.need === 'bind'
    ? authorizeBinding(parts, asker, ask)
    : authorizeActing(parts, asker, ask);
}

/**
 * Decides about one key: one's own; for admins of all that a deploy key is bound to, that key; for the operator and site
 * admins, anybody's. An admin of some of it may see a deploy key, and is told what else it is bound to by its refusal alone.
 *
 * @throws UserError `not_found`, also for keys of others; `denied` for a deploy key that is another admin's too
 */
async function authorizeActing(
  parts: KeyAccessParts,
  { principal, standing }: Asker,
  ask: Extract<Ask, { need: 'key' }>,
): Promise<Granted> {
  const found = await parts.store.keys.withFingerprint(ask.fingerprint);
  const wanted = ask.act === 'verify' ? pendingFirst(found, principal) : found;
  let partly = false;
  for (const key of wanted) {
    const share = await shareOf(parts, principal, key);
    const decision = decide(standing, { kind: 'self', isSelf: share === 'all' });
    if (decision.allowed || (share === 'some' && ask.act === 'see')) {
      const user = key.userId === undefined ? undefined : await parts.store.users.byId(key.userId);
      return { standing, decision, key, ...(user === undefined ? {} : { user }) };
    }
    partly ||= share === 'some';
  }
  const { fingerprint } = ask;
  if (partly) {
    throw new UserError(
      'denied',
      `${fingerprint} is bound to more than you administer (${askerText(principal)})`,
      { hint: `take it from yours with: repo access revoke REPO key:${fingerprint}` },
    );
  }
  throw new UserError('not_found', `${fingerprint}: no such key (${askerText(principal)})`, {
    hint: 'see them with: sshkey list',
  });
}

/**
 * Decides about binding a deploy key to more: what others bound is theirs to bind further, so that nobody takes a key
 * of others out of their hands by binding it to something of one's own.
 *
 * @throws UserError `conflict` when nothing that it is bound to is one's own
 */
async function authorizeBinding(
  parts: KeyAccessParts,
  { principal, standing }: Asker,
  { fingerprint }: Extract<Ask, { need: 'bind' }>,
): Promise<Granted> {
  const found = await parts.store.keys.withFingerprint(fingerprint);
  const key = found.find(({ kind, state }) => kind === 'deploy' && state === 'active');
  const bound = key === undefined ? [] : await parts.store.deployKeys.bindingsOf(key.id);
  const isSelf =
    key === undefined || bound.length === 0 || (await shareOf(parts, principal, key)) !== 'none';
  const decision = decide(standing, { kind: 'self', isSelf });
  if (decision.allowed) return { standing, decision };
  throw new UserError('conflict', `key ${fingerprint} is in use already`, {
    hint: 'only an admin of what it is bound to binds it to more; or make a new one with: ssh-keygen -t ed25519',
  });
}

/** What waits for a proof: one's own first, then what one administers. */
function pendingFirst(keys: readonly Key[], principal: Principal): readonly Key[] {
  const own = 'id' in principal ? principal.id : undefined;
  const rank = ({ state, userId }: Key) => (state !== 'pending' ? 2 : userId === own ? 0 : 1);
  return keys.toSorted((a, b) => rank(a) - rank(b));
}

async function shareOf(parts: KeyAccessParts, principal: Principal, key: Key): Promise<Share> {
  if (principal.kind !== 'user') return 'none';
  if (key.kind === 'user') return key.userId === principal.id ? 'all' : 'none';
  const bindings = await parts.store.deployKeys.bindingsOf(key.id);
  let mine = 0;
  for (const bound of bindings) {
    if (await administersBound(parts, principal.id, bound)) mine += 1;
  }
  if (mine === 0) return 'none';
  return mine === bindings.length ? 'all' : 'some';
}

/** Whether a user administers what a deploy key is bound to, one binding of it; a user who is not active administers nothing. */
export async function administersBound(
  { store, access }: KeyAccessParts,
  userId: string,
  { on }: Pick<Bound, 'on'>,
): Promise<boolean> {
  const user = await store.users.byId(userId);
  if (user?.state !== 'active') return false;
  if (on.kind === 'org') {
    const standing = { kind: 'user', ended: undefined, siteAdmin: user.admin } as const;
    const held = await store.orgs.role(on.id, userId);
    return decide(standing, { kind: 'org', role: 'admin', held }).allowed;
  }
  const repo = await store.repositories.byId(on.id);
  return repo !== undefined && reaches((await access.rightOf(user, repo)).right, 'admin');
}

/** @throws UserError `denied` to a deploy key */
export function refuseCommand(principal: Principal, standing: Standing): void {
  if (decide(standing, { kind: 'command' }).allowed) return;
  throw new UserError(
    'denied',
    `this takes a user's key: a deploy key runs git, whoami and help (${askerText(principal)})`,
    { hint: 'sign in with a key of your own' },
  );
}

/** Why a key has nothing any more; undefined while it is in force and still its owner's. */
export function keyFault(key: Key | undefined, userId: string | undefined): string | undefined {
  if (key === undefined || key.userId !== userId) return 'this key is not known any more';
  if (key.state === 'active') return undefined;
  if (key.state === 'expired')
    return `key ${key.fingerprint} ended on ${key.expiresAt?.slice(0, 10)}`;
  return `key ${key.fingerprint} is ${key.state}`;
}

/** Why a principal that is no user has nothing any more; undefined when it is in good standing. */
export async function faultOf(
  store: Store,
  principal: Exclude<Principal, { kind: 'user' }>,
): Promise<string | undefined> {
  if (principal.kind === 'server') return peerFault(store, principal);
  if (principal.kind === 'invitee') return inviteeFault(store, principal);
  if (principal.kind !== 'deploy-key') return undefined;
  return keyFault(await store.keys.byId(principal.keyId), undefined);
}
