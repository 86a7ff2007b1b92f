import { UserError } from '../model/errors.ts';
import { askerText, type Principal } from '../model/principal.ts';
import { repoPathText } from '../model/repo.ts';
import { type Decision, reaches, type Standing } from '../model/right.ts';
import type { Repository } from '../store/repositories.ts';
import type { Ask, Granted } from './ask.ts';
import type { Lookup } from './lookup.ts';

interface Parts {
  readonly lookup: Lookup;
  rightOn(repo: Repository): Promise<Decision>;
  /** What a repository's name leads to and may cease to. @throws UserError `conflict` */
  retakes(repo: Repository): Promise<readonly string[]>;
}

/** What is in the trash is its owner's alone; who could read it before is told so, and nobody else of anything. */
export async function authorizeTrashed(
  { lookup, rightOn, retakes }: Parts,
  { principal, standing }: { principal: Principal; standing: Standing },
  { path, id, restores }: Extract<Ask, { need: 'trashed' }>,
): Promise<Granted> {
  const found = await lookup.findTrashed(principal, path);
  const meant = found.filter((repo) => id === undefined || repo.id === id);
  const decisions = await Promise.all(meant.map(rightOn));
  const trashed = meant.filter((_, at) => owns(decisions[at]));
  const decision = decisions.find(owns);
  const [last] = trashed;
  if (decision !== undefined && last !== undefined) {
    const granted = { standing, decision, trashed };
    return restores === undefined ? granted : { ...granted, retakes: await retakes(last) };
  }
  const seen = decisions.findIndex((each) => reaches(each.right, 'read'));
  const repo = meant[seen];
  if (repo === undefined) {
    throw new UserError(
      'not_found',
      `${repoPathText(path)}: no such repository in the trash, or not yours to see (${askerText(principal)})`,
      { hint: 'see what is there with: repo trash list' },
    );
  }
  throw new UserError(
    'denied',
    `${repo.fullName}: only its owner may do this in the trash (${askerText(principal)}, ${decisions[seen]?.why})`,
    { hint: 'ask its owner', aboutId: repo.id },
  );
}

function owns(decision: Decision | undefined): boolean {
  return decision !== undefined && reaches(decision.right, 'owner');
}
