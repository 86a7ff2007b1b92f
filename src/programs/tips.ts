import { createInterface } from 'node:readline';
import { UserError } from '../model/errors.ts';
import { nullOid, type RefCommand, shortRef } from '../model/ref.ts';
import { RefSpace } from '../model/ref-space.ts';
import { quoted } from '../model/repo.ts';
import type { Git } from './git.ts';
import { writePackedRefs } from './packed.ts';
import { allRefs, syncRefs } from './refs.ts';

/** Where the values that refs once had are kept; never advertised. */
export const archivePrefix = 'refs/cpm/archive/';

/**
 * Which old values would be lost: those that can't be reached from any of the new ones. An annotated tag, or
 * anything else that is no commit, counts as lost unless it is itself among the new values.
 *
 * @param olds - oids; null oids are left out, objects that are missing are not lost but gone
 * @throws Error when git fails
 */
export async function notReachable(
  git: Git,
  directory: string,
  { olds, news }: { readonly olds: readonly string[]; readonly news: readonly string[] },
): Promise<string[]> {
  const kept = new Set(news.filter((oid) => oid !== nullOid));
  const asked = [...new Set(olds)].filter((oid) => oid !== nullOid && !kept.has(oid));
  if (asked.length === 0) return asked;
  const [types, apart] = await Promise.all([
    typesOf(git, directory, asked),
    kept.size === 0 ? new Set(asked) : apartFrom(git, directory, { asked, kept: [...kept] }),
  ]);
  return asked.filter((oid) => {
    const type = types.get(oid);
    return type !== undefined && (type !== 'commit' || apart.has(oid));
  });
}

/** The types of the objects that exist, by oid. @throws Error when git fails */
export async function typesOf(
  git: Git,
  directory: string,
  oids: readonly string[],
): Promise<Map<string, string>> {
  const { status, stdout, stderr } = await git.run(['cat-file', '--batch-check'], {
    cwd: directory,
    input: lines(oids),
  });
  if (status !== 0) throw new Error(`git cat-file ended with ${status}: ${stderr}`);
  const types = new Map<string, string>();
  for (const line of stdout.toString().split('\n')) {
    const [oid = '', type = 'missing'] = line.split(' ');
    if (type !== 'missing') types.set(oid, type);
  }
  return types;
}

/** The commits among `asked` that git lists when it leaves out all that `kept` reach. Stops once it has seen all. */
async function apartFrom(
  git: Git,
  directory: string,
  { asked, kept }: { readonly asked: readonly string[]; readonly kept: readonly string[] },
): Promise<Set<string>> {
  const child = git.start(['rev-list', '--ignore-missing', '--stdin'], { cwd: directory });
  child.stdin.end(lines([...asked, ...kept.map((oid) => `^${oid}`)]));
  const waiting = new Set(asked);
  const found = new Set<string>();
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr = `${stderr}${chunk}`.slice(0, 4096);
  });
  for await (const oid of createInterface({ input: child.stdout })) {
    if (waiting.delete(oid)) found.add(oid);
    if (waiting.size === 0) break;
  }
  if (waiting.size === 0) child.end();
  const { status } = await child.exited;
  if (waiting.size > 0 && status !== 0) {
    throw new Error(`git rev-list ended with ${status}: ${stderr}`);
  }
  return found;
}

/**
 * Keeps objects from ever being pruned: each gets a ref of its own under `refs/cpm/archive/`. Durable when it
 * returns; doing it again changes nothing.
 *
 * @throws Error when git fails, as for an oid that is not in the repository
 */
export async function archiveTips(
  git: Git,
  directory: string,
  oids: readonly string[],
): Promise<void> {
  const tips = [...new Set(oids)].filter((oid) => oid !== nullOid);
  await keepRefs(
    git,
    directory,
    tips.map((oid) => ({ ref: `${archivePrefix}${oid}`, oid })),
  );
}

/**
 * Points hidden refs at objects, so that these are never pruned. Durable when it returns; doing it again changes
 * nothing.
 *
 * @throws Error when git fails, as for an oid that is not in the repository
 */
export async function keepRefs(
  git: Git,
  directory: string,
  kept: readonly { readonly ref: string; readonly oid: string }[],
): Promise<void> {
  if (kept.length === 0) return;
  const { status, stderr } = await git.run(['update-ref', '--stdin'], {
    cwd: directory,
    input: lines(kept.map(({ ref, oid }) => `update ${ref} ${oid}`)),
  });
  if (status !== 0) throw new Error(`git update-ref ended with ${status}: ${stderr}`);
  await syncRefs(
    directory,
    kept.map(({ ref }) => ref),
  );
}

/**
 * Moves refs as one, each only from its old value; durable when it returns. Where one has to go so that another can be
 * made, these are two transactions.
 *
 * @throws UserError `conflict` when a ref is not at its old value any more, or its name is in another's way; then
 *   nothing has changed. `unavailable` when git was killed, then some may have moved, or another one holds their locks
 */
export async function updateRefs(
  git: Git,
  directory: string,
  commands: readonly RefCommand[],
): Promise<void> {
  if (commands.length === 0) return;
  if (commands.length >= manyRefs && (await fillEmpty(directory, commands))) return;
  for (const part of oneByOne(commands)) await updateTogether(git, directory, part);
  await syncRefs(
    directory,
    commands.map(({ ref }) => ref),
  );
}

async function updateTogether(
  git: Git,
  directory: string,
  commands: readonly RefCommand[],
): Promise<void> {
  const moves = commands.map((command) =>
    command.new === nullOid
      ? `delete ${command.ref} ${command.old}`
      : `update ${command.ref} ${command.new} ${command.old}`,
  );
  const { status, stderr } = await git.run(['update-ref', '--no-deref', '--stdin'], {
    cwd: directory,
    input: lines(['start', ...moves, 'prepare', 'commit']),
  });
  if (status !== 0) throw notMoved(status, stderr);
}

/** git takes the end of `a` and the making of `a/b` for two transactions: what makes room goes first. */
function oneByOne(commands: readonly RefCommand[]): readonly (readonly RefCommand[])[] {
  const created = commands.filter(({ old }) => old === nullOid).map(({ ref }) => ref);
  if (created.length === 0 || created.length === commands.length) return [commands];
  const space = new RefSpace(created);
  const first = commands.filter(
    (command) => command.new === nullOid && space.inTheWay(command.ref) !== undefined,
  );
  return first.length === 0 ? [commands] : [first, commands.filter((one) => !first.includes(one))];
}

function notMoved(status: number | undefined, stderr: string): UserError {
  const cause = new Error(`git update-ref ended with ${status}: ${stderr}`);
  if (/\.lock': File exists/.test(stderr)) {
    return new UserError('unavailable', 'another git is at work on these refs', {
      hint: 'try again; the lock of one that was killed is removed by then',
      cause,
    });
  }
  const [, other, ref] = /'(\S+)' exists; cannot create '(\S+)'/.exec(stderr) ?? [];
  if (other !== undefined && ref !== undefined) {
    const names = `${quoted(shortRef(ref))} can not be beside ${quoted(shortRef(other))}`;
    return new UserError('conflict', names, { hint: 'delete one of the two, or rename it', cause });
  }
  return new UserError('conflict', 'the refs changed meanwhile; nothing was done', {
    hint: 'look at them again, then repeat',
    cause,
  });
}

/** So many refs are a file each only where others are there already. */
const manyRefs = 50;

/** Writes the first refs of a repository as one file. @returns false where that can't be done, and nothing was */
async function fillEmpty(directory: string, commands: readonly RefCommand[]): Promise<boolean> {
  if (commands.some(({ old, new: next }) => old !== nullOid || next === nullOid)) return false;
  if ((await allRefs(directory)).length > 0) return false;
  const isTaken = (error: NodeJS.ErrnoException) => error.code === 'EEXIST';
  return writePackedRefs(
    directory,
    commands.map((command) => [command.ref, command.new] as const),
  ).then(
    () => true,
    (error) => {
      if (isTaken(error)) return false;
      throw error;
    },
  );
}

/**
 * What objects take on disk that some oids lead to and others don't.
 *
 * @throws Error when git fails
 */
export async function bytesApart(
  git: Git,
  directory: string,
  { oids, kept }: { readonly oids: readonly string[]; readonly kept: readonly string[] },
): Promise<number> {
  if (oids.length === 0) return 0;
  const { status, stdout, stderr } = await git.run(
    ['rev-list', '--objects', '--disk-usage', '--ignore-missing', '--stdin'],
    { cwd: directory, input: lines([...oids, ...kept.map((oid) => `^${oid}`)]) },
  );
  if (status !== 0) throw new Error(`git rev-list ended with ${status}: ${stderr}`);
  return Number(stdout.toString().trim());
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text}\n`).join('');
}
