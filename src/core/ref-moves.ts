import type { Locks } from './locks.ts';
import type { Repos } from './repos.ts';

/**
 * Holds refs as `Repos.holdRefs` does, for who moves them: whoever hands this server's lead over, or hears of another's,
 * waits for the moves that were decided before.
 *
 * @returns the function that lets go of them
 * @throws the signal's reason
 */
export async function holdMoves(
  { locks, repos }: { readonly locks: Locks; readonly repos: Repos },
  repoId: string,
  { refs, signal }: { readonly refs: readonly string[]; readonly signal: AbortSignal },
): Promise<() => void> {
  const leave = await locks.shared('lead', signal);
  try {
    const release = await repos.holdRefs(repoId, refs, signal);
    return () => {
      release();
      leave();
    };
  } catch (error) {
    leave();
    throw error;
  }
}

/** Waits for the moves of refs that were decided before. @throws UserError `unavailable` after 30 s */
export async function movesDone({ locks }: { readonly locks: Locks }): Promise<void> {
  const release = await locks.exclusive('lead', 'the refs');
  release();
}
