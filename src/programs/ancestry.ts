import type { Git } from './git.ts';

interface Where {
  readonly directory: string;
  readonly signal: AbortSignal;
}

/**
 * The best common ancestor of two commits; one of them, where the other contains it.
 *
 * @returns undefined when they have none
 * @throws Error when git fails; the signal's reason
 */
export async function mergeBase(
  git: Git,
  { directory: cwd, signal }: Where,
  [one, other]: readonly [string, string],
): Promise<string | undefined> {
  const { status, stdout, stderr } = await git.run(['merge-base', one, other], { cwd, signal });
  if (status === 0) return stdout.toString('latin1', 0, 40);
  if (status === 1) return undefined;
  throw new Error(`git merge-base ended with ${status}: ${stderr}`);
}

/**
 * The commit that an annotated tag leads to; a commit's own oid.
 *
 * @returns undefined when it leads to something else
 */
export async function peelToCommit(
  git: Git,
  { directory: cwd, signal }: Where,
  oid: string,
): Promise<string | undefined> {
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${oid}^{commit}`];
  const { status, stdout } = await git.run(args, { cwd, signal });
  return status === 0 ? stdout.toString('latin1').trim() : undefined;
}

/** A commit that a rebase may have to apply. */
export interface Candidate {
  readonly oid: string;
  /** Whether the other side has a commit that makes the same change. */
  readonly isThere: boolean;
}

/**
 * The commits of `source` that `target` lacks, without merges, in the order in which a rebase applies them.
 *
 * @throws Error when git fails; the signal's reason
 */
export async function commitsToRebase(
  git: Git,
  { directory: cwd, signal }: Where,
  { target, source }: { target: string; source: string },
): Promise<readonly Candidate[]> {
  const picks = ['--topo-order', '--no-merges', '--right-only', '--cherry-mark'];
  const args = ['rev-list', '--reverse', ...picks, `${target}...${source}`];
  const { status, stdout, stderr } = await git.run(args, { cwd, signal });
  if (status !== 0) throw new Error(`git rev-list ended with ${status}: ${stderr}`);
  const lines = stdout.toString('latin1').split('\n').filter(Boolean);
  // `=` for a change that is there, `+` for one that is not.
  return lines.map((line) => ({ oid: line.slice(1), isThere: line.startsWith('=') }));
}

/** Long enough for what a person reads of a squashed branch. */
const logBytes = 64 * 1024;

/**
 * The commits of `source` alone as `git log` shows them, for the message of a squash; cut where it is too long.
 *
 * @throws Error when git fails; the signal's reason
 */
export async function logOf(
  git: Git,
  { directory: cwd, signal }: Where,
  { target, source }: { target: string; source: string },
): Promise<string> {
  const child = git.start(
    ['log', '--no-merges', '--no-decorate', '--no-color', '--no-notes', source, '--not', target],
    { cwd },
  );
  const end = (): void => child.end();
  signal.addEventListener('abort', end, { once: true });
  child.stdin.end();
  child.stderr.resume();
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of child.stdout) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > logBytes) break;
    }
  } catch {
    // Its pipe was torn: the exit tells.
  } finally {
    signal.removeEventListener('abort', end);
  }
  child.end();
  await child.exited;
  signal.throwIfAborted();
  const text = Buffer.concat(chunks).toString();
  return bytes > logBytes ? `${text.slice(0, text.lastIndexOf('\n', logBytes))}\n\n…\n` : text;
}
