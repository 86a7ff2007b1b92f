import { UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { refsMeantBy, shortRef } from '../model/ref.ts';
import { reaches } from '../model/right.ts';
import type { RefUpdate } from '../store/ref-history.ts';
import type { Store } from '../store/store.ts';
import type { Ask, Granted } from './ask.ts';

/**
 * An undo is an admin's; with write, one's own last forced update may be taken back (contract section 3), and that
 * again.
 *
 * @param granted - write on the repository, decided
 * @throws UserError `denied`
 */
export async function authorizeUndo(
  store: Store,
  principal: Principal,
  granted: Granted,
  ask: Extract<Ask, { need: 'undo' }>,
): Promise<Granted> {
  if (reaches(granted.decision.right, 'admin') || granted.repo === undefined) return granted;
  const last = await store.history.last(granted.repo.id, refsMeantBy(ask.ref));
  if (last !== undefined && (await isOwn(store, principal, last)) && namesReplaced(ask.to, last)) {
    return granted;
  }
  const name = last === undefined ? ask.ref : shortRef(last.ref);
  throw new UserError(
    'denied',
    `${granted.repo.fullName} ${name}: with write you may undo your own last forced update alone (${askerText(principal)}, ${granted.decision.why})`,
    {
      hint: `an admin may: repo undo ${granted.repo.fullName} ${name} --yes`,
      aboutId: granted.repo.id,
    },
  );
}

async function isOwn(store: Store, principal: Principal, last: RefUpdate): Promise<boolean> {
  if (principal.kind !== 'user' || last.keyId === undefined) return false;
  if (!last.forced && last.action !== undoAction) return false;
  return (await store.keys.byId(last.keyId))?.userId === principal.id;
}

/** Whether `--to` asks for nothing but what would come back without it. */
function namesReplaced(to: string | undefined, last: RefUpdate): boolean {
  return to === undefined || to === '@1' || last.old.startsWith(to.toLowerCase());
}

/** What history calls an undo. */
export const undoAction = 'repo undo';
