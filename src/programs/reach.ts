import { createInterface } from 'node:readline';
import type { Git } from './git.ts';
import { allRefs } from './refs.ts';

export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag';

/** An object of a repository. */
export interface FoundObject {
  readonly oid: string;
  readonly type: ObjectType;
}

const mostBytes = 512 * 1024 * 1024;

/** The objects whose ids begin with some digits. */
export async function objectsLike(
  git: Git,
  directory: string,
  start: string,
): Promise<readonly FoundObject[]> {
  const listed = await text(git, directory, ['rev-parse', `--disambiguate=${start}`]);
  const types = await text(git, directory, ['cat-file', '--batch-check'], listed);
  return types.split('\n').flatMap((line) => {
    const [oid = '', type = 'missing'] = line.split(' ');
    return oid === '' || type === 'missing' ? [] : [{ oid, type: type as ObjectType }];
  });
}

/** The refs that lead to an object, hidden ones too, by name. */
export async function refsReaching(
  git: Git,
  directory: string,
  { oid, type }: FoundObject,
): Promise<readonly { readonly name: string; readonly oid: string }[]> {
  const refs = await allRefs(directory);
  if (type === 'commit') {
    const words = ['for-each-ref', `--contains=${oid}`, '--format=%(refname)'];
    const names = new Set((await text(git, directory, words)).split('\n'));
    return refs.filter(({ name }) => names.has(name));
  }
  const found: { name: string; oid: string }[] = [];
  for (const ref of refs) {
    if (await leadsTo(git, directory, ref.oid, oid)) found.push(ref);
  }
  return found;
}

async function leadsTo(git: Git, directory: string, tip: string, wanted: string): Promise<boolean> {
  if (tip === wanted) return true;
  const child = git.start(['rev-list', '--objects', tip], { cwd: directory });
  child.stdin.end();
  child.stderr.resume();
  let found = false;
  for await (const line of createInterface({ input: child.stdout })) {
    found = line.startsWith(wanted);
    if (found) break;
  }
  child.end();
  await child.exited;
  return found;
}

/**
 * The commits that go with an object, and those right before them, which stay: of all that `tips` reach and `kept` don't.
 *
 * @returns `with`: each commit whose history or files have it; `before`: their parents that have not
 */
export async function commitsWith(
  git: Git,
  directory: string,
  { object, tips, kept }: { object: FoundObject; tips: readonly string[]; kept: readonly string[] },
): Promise<{ with: ReadonlySet<string>; before: ReadonlySet<string> }> {
  const having = new Set<string>();
  const before = new Set<string>();
  if (tips.length === 0) return { with: having, before };
  const range = [...tips, ...kept.map((oid) => `^${oid}`)].map((one) => `${one}\n`).join('');
  const seeds = await seedsOf(git, directory, object, range);
  const walk = ['rev-list', '--topo-order', '--reverse', '--parents', '--stdin'];
  const listed = new Set<string>();
  for (const line of (await text(git, directory, walk, range)).split('\n')) {
    const [oid = '', ...parents] = line.split(' ');
    if (oid === '') continue;
    listed.add(oid);
    if (!seeds.has(oid) && !parents.some((parent) => having.has(parent))) continue;
    having.add(oid);
    // Parents come first in this order; what is not listed is reached by what is kept.
    for (const parent of parents) {
      if (listed.has(parent) && !having.has(parent)) before.add(parent);
    }
  }
  return { with: having, before };
}

async function seedsOf(
  git: Git,
  directory: string,
  { oid, type }: FoundObject,
  range: string,
): Promise<ReadonlySet<string>> {
  if (type === 'commit') return new Set([oid]);
  if (type === 'tag') return new Set();
  const words = ['log', '-m', '-t', '--root', '--format=%H', `--find-object=${oid}`, '--stdin'];
  const shown = await text(git, directory, [...words, '--no-patch'], range);
  return new Set(shown.split('\n').filter((line) => line !== ''));
}

/** What a value leads to once tags are taken off it; undefined where that is no commit. */
export async function peeled(
  git: Git,
  directory: string,
  oid: string,
): Promise<string | undefined> {
  const words = ['rev-parse', '--quiet', '--verify', `${oid}^{commit}`];
  const { status, stdout } = await git.run(words, { cwd: directory });
  return status === 0 ? stdout.toString().trim() : undefined;
}

async function text(
  git: Git,
  directory: string,
  args: readonly string[],
  input = '',
): Promise<string> {
  const options = { cwd: directory, input, maxBytes: mostBytes };
  const { status, stdout, stderr } = await git.run(args, options);
  if (status === 0) return stdout.toString();
  throw new Error(`git ${args[0]} ended with ${status}: ${stderr}`);
}
