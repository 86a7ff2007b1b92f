import { UserError } from '../model/errors.ts';
import { shortOid } from '../model/oid.ts';
import { nullOid, refsMeantBy, shortRef } from '../model/ref.ts';
import { quoted } from '../model/repo.ts';
import { readMoment } from '../model/units.ts';
import type { RefUpdate } from '../store/ref-history.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';

const pageRows = 500;

/** A ref as it is, and the value that an undo gives it; null oids stand for no value. */
export interface Undo {
  readonly ref: string;
  readonly from: string;
  readonly to: string;
}

/** Updates of a repository's refs, or of one, the newest first. */
export async function* updatesOf(
  store: Store,
  repoId: string,
  ref?: string,
): AsyncGenerator<RefUpdate> {
  let before: number | undefined;
  for (;;) {
    const page = await store.history.page(repoId, { ref, before, limit: pageRows });
    yield* page;
    before = page.at(-1)?.id;
    if (page.length < pageRows) return;
  }
}

/**
 * The ref of a repository that a word means, by history: what it never had is no ref.
 *
 * @returns its last update
 * @throws UserError `not_found`
 */
export async function findRef(store: Store, repo: Repository, word: string): Promise<RefUpdate> {
  const last = await store.history.last(repo.id, refsMeantBy(word));
  if (last !== undefined) return last;
  throw new UserError('not_found', `${repo.fullName}: there never was a ref ${quoted(word)}`, {
    hint: `see all with: repo history ${repo.fullName}`,
  });
}

/**
 * What an undo would do: without `to`, the last update taken back, whatever it was.
 *
 * @param to - an oid or the beginning of one, `@N`, or a time; the value must be one that the ref has had
 * @throws UserError `not_found` when it never had such a value, `usage` when several begin so
 */
export async function planUndo(
  store: Store,
  repo: Repository,
  { ref: word, to }: { ref: string; to: string | undefined },
): Promise<Undo> {
  const last = await findRef(store, repo, word);
  const { ref, new: from } = last;
  if (to === undefined) return { ref, from, to: last.old };
  const name = `${repo.fullName} ${shortRef(ref)}`;
  const nth = /^@(\d+)$/.exec(to)?.[1];
  if (nth !== undefined) {
    return { ref, from, to: await nthEarlier(store, { repoId: repo.id, ref, name }, Number(nth)) };
  }
  const named = await beginningWith(store, { repoId: repo.id, ref, name }, to.toLowerCase());
  if (named !== undefined) return { ref, from, to: named };
  return { ref, from, to: await valueAt(store, { repoId: repo.id, ref, name }, to) };
}

interface Where {
  readonly repoId: string;
  readonly ref: string;
  /** How it is shown. */
  readonly name: string;
}

/** The value that the ref had so many values ago; times without one don't count. */
async function nthEarlier(
  store: Store,
  { repoId, ref, name }: Where,
  nth: number,
): Promise<string> {
  let left = nth;
  let isCurrent = true;
  for await (const update of updatesOf(store, repoId, ref)) {
    if (!isCurrent && update.new !== nullOid) left -= 1;
    if (left === 0) return update.new;
    isCurrent = false;
  }
  throw new UserError('not_found', `${name} has had ${nth - left} earlier values, not ${nth}`, {
    hint: `see them with: repo history ${name}`,
  });
}

async function beginningWith(
  store: Store,
  { repoId, ref, name }: Where,
  start: string,
): Promise<string | undefined> {
  if (!/^[0-9a-f]{4,40}$/.test(start)) return undefined;
  const found = new Set<string>();
  for await (const { old, new: next } of updatesOf(store, repoId, ref)) {
    for (const oid of [next, old]) if (oid !== nullOid && oid.startsWith(start)) found.add(oid);
  }
  if (found.size < 2) return [...found][0];
  const some = [...found].slice(0, 5).map(shortOid).join(', ');
  throw new UserError('usage', `${name} has had ${found.size} values that begin with ${start}`, {
    hint: `give more of it: ${some}`,
  });
}

async function valueAt(store: Store, { repoId, ref, name }: Where, to: string): Promise<string> {
  const hint = `see what it had with: repo history ${name}`;
  if (/^[0-9a-f]{4,40}$/i.test(to) && !/^\d+d$/.test(to)) {
    throw new UserError('not_found', `${name} never was ${to}`, { hint });
  }
  const moment = readMoment(to, new Date(), 'ago');
  for await (const update of updatesOf(store, repoId, ref)) {
    if (update.at > moment) continue;
    if (update.new !== nullOid) return update.new;
    throw new UserError('not_found', `${name} was deleted at ${moment}`, { hint });
  }
  throw new UserError('not_found', `${name} did not exist at ${moment}`, { hint });
}
