import { UserError } from '../model/errors.ts';
import { type Principal, principalText } from '../model/principal.ts';
import { type Decision, type Right, reaches } from '../model/right.ts';
import type { Repository } from '../store/repositories.ts';
import type { Store } from '../store/store.ts';
import { mirrorRefusal } from './peer-access.ts';

/** The refusal of one who may read a repository and asked for more: what one may, why, and whom to ask. */
export async function tooLittle(
  store: Store,
  { principal, repo }: { principal: Principal; repo: Repository },
  held: Decision,
  right: Right,
): Promise<UserError> {
  if (reaches(held.right, right)) {
    const mirror = await mirrorRefusal(store, repo, held.why);
    if (mirror !== undefined) return mirror;
    return new UserError('denied', `${repo.fullName}: ${held.why}, nobody may write to it`, {
      hint: `an admin takes it out of the archive with: repo unarchive ${repo.fullName}`,
      aboutId: repo.id,
    });
  }
  const name = principal.kind === 'user' ? principal.name : principalText(principal);
  const rank = right === 'read' || right === 'write' ? right : `act as its ${right}`;
  const verb = { read: 'read it', write: 'read and write it', admin: 'administer it' } as const;
  const may = verb[held.right as keyof typeof verb] ?? 'own it';
  const whom = right === 'owner' ? 'owner' : 'admin';
  const admins = await store.access.adminsOf(repo, whom);
  const ask = admins.length === 0 ? `ask its ${whom}` : `ask ${admins.join(' or ')}`;
  const command = right === 'owner' ? '' : `: repo access grant ${repo.fullName} ${name} ${right}`;
  return new UserError(
    'denied',
    `${repo.fullName}: you may ${may}, not ${rank} (${name}, ${held.why})`,
    { hint: `${ask}${command}`, aboutId: repo.id },
  );
}
