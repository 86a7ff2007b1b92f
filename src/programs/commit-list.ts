import { nullOid } from '../model/ref.ts';
import type { Git } from './git.ts';

/** One commit, as people look for it. */
export interface Commit {
  readonly oid: string;
  readonly author: string;
  /** When it was committed, ISO 8601 UTC. */
  readonly at: string;
  readonly subject: string;
}

/** Where to look: commits that one value reaches and others don't. */
export interface Range {
  readonly from: string;
  /** Oids, or a ref whose value is left out while all other refs count. */
  readonly without: { readonly oids: readonly string[] } | { readonly allButRef: string };
}

/**
 * The commits of a range, newest first, and how many there are in all; none where `from` leads to no commit.
 *
 * @param most - how many to read at most
 */
export async function commitsIn(
  git: Git,
  directory: string,
  { from, without, most }: Range & { readonly most: number },
): Promise<{ readonly commits: readonly Commit[]; readonly count: number }> {
  if (from === nullOid || !(await leadsToCommit(git, directory, from))) {
    return { commits: [], count: 0 };
  }
  const rest =
    'oids' in without
      ? without.oids.filter((oid) => oid !== nullOid).map((oid) => `^${oid}`)
      : ['--not', '--exclude=refs/cpm/*', `--exclude=${without.allButRef}`, '--all'];
  const range = [from, ...rest];
  const counted = await run(git, directory, ['rev-list', '--count', '--ignore-missing', ...range]);
  const fields = ['%H', '%an', '%ct', '%s'];
  const format = `--format=tformat:${fields.join('%x00')}`;
  const shown = await run(git, directory, [
    'log',
    '-z',
    format,
    `--max-count=${most}`,
    '--ignore-missing',
    ...range,
  ]);
  const texts = shown.split('\0');
  const commits: Commit[] = [];
  for (let at = 0; at + fields.length < texts.length + 1; at += fields.length) {
    const [oid = '', author = '', time = '', subject = ''] = texts.slice(at, at + fields.length);
    if (oid !== '') commits.push({ oid, author, at: moment(Number(time)), subject });
  }
  return { commits, count: Number(counted.trim()) };
}

/** Whether all that a value leads to is there: what an archive let go of may be half gone. */
export async function isWhole(git: Git, directory: string, oid: string): Promise<boolean> {
  const { status } = await git.run(['rev-list', '--objects', '--quiet', oid, '--not', '--all'], {
    cwd: directory,
  });
  return status === 0;
}

/** @param seconds - since 1970, as a commit claims it: anything that is a number */
function moment(seconds: number): string {
  const latest = 8.64e12;
  return new Date(Math.min(Math.max(seconds, 0), latest) * 1000).toISOString();
}

async function leadsToCommit(git: Git, directory: string, oid: string): Promise<boolean> {
  const words = ['rev-parse', '--quiet', '--verify', `${oid}^{commit}`];
  return (await git.run(words, { cwd: directory })).status === 0;
}

async function run(git: Git, directory: string, args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await git.run(args, { cwd: directory });
  if (status === 0) return stdout.toString();
  throw new Error(`git ${args[0]} ended with ${status}: ${stderr}`);
}
