import { UserError } from '../model/errors.ts';
import type { Namespace } from '../store/names.ts';
import type { Store } from '../store/store.ts';
import type { Locks } from './locks.ts';

/**
 * Keeps namespaces from being renamed while something is put into them.
 *
 * @returns the function that lets go of them
 * @throws UserError `unavailable` when one was renamed meanwhile, or is to be for 30 s
 */
export async function holdNamespaces(
  { store, locks }: { store: Store; locks: Locks },
  namespaces: readonly Namespace[],
): Promise<() => void> {
  const releases: (() => void)[] = [];
  const release = () => {
    for (const one of releases) one();
  };
  try {
    // In one order for all, so that no two wait for each other.
    const sorted = [...namespaces].sort((a, b) => (a.ownerId < b.ownerId ? -1 : 1));
    for (const { ownerId, name } of sorted) {
      releases.push(await locks.sharedFor(namespaceLock(ownerId), name));
      if ((await store.names.ofOwner(ownerId)) !== name) throw movedMeanwhile(name);
    }
    return release;
  } catch (error) {
    release();
    throw error;
  }
}

/** The lock of a namespace's name: shared by what comes into it, alone for who renames it. */
export function namespaceLock(ownerId: string): string {
  return `namespace ${ownerId}`;
}

/** What was named is called otherwise by now. */
export function movedMeanwhile(name: string): UserError {
  return new UserError('unavailable', `${name}: it was moved meanwhile`, { hint: 'try again' });
}

/** What who reads by an old name is told. */
export function newName(before: string, now: string): string {
  return `${before} is called ${now} now`;
}

/** Nothing is changed by an old name: whoever does it is to know where it goes (S6). @param hint - what to do */
export function calledOtherwise(before: string, now: string, hint = `say ${now}`): UserError {
  return new UserError('denied', `${newName(before, now)}, and changed by that name alone`, {
    hint,
  });
}
