import { createInterface } from 'node:readline';
import type { Git } from './git.ts';

/** Where objects are looked at. */
export interface ObjectPlace {
  /** The bare repository. */
  readonly directory: string;
  /** An object directory beside it that holds what is yet to come in. */
  readonly quarantine: string | undefined;
  readonly signal: AbortSignal;
}

/** What is new: all that `news` lead to, but for what `known` lead to; `all` stands for every ref there is. */
export interface Span {
  readonly news: readonly string[];
  readonly known: readonly string[] | 'all';
}

/**
 * Whether a ref may move from one oid to another without losing a commit. Of what is no commit nobody can tell: no.
 *
 * @throws the signal's reason
 */
export async function isForward(
  git: Git,
  place: ObjectPlace,
  { old, new: next }: { readonly old: string; readonly new: string },
): Promise<boolean> {
  const { status } = await git.run(['merge-base', '--is-ancestor', old, next], options(place));
  return status === 0;
}

const atOnce = 100;

/**
 * The commits of a span, newest first, in batches.
 *
 * @throws Error when git fails or is ended
 */
export async function* newCommits(
  git: Git,
  place: ObjectPlace,
  span: Span,
): AsyncGenerator<readonly string[]> {
  let batch: string[] = [];
  for await (const oid of revisions(git, place, { span, args: [] })) {
    batch.push(oid);
    if (batch.length < atOnce) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/**
 * The first file of a span that is larger than it may be.
 *
 * @throws Error when git fails or is ended
 */
export async function largeFile(
  git: Git,
  place: ObjectPlace,
  { span, maxBytes }: { readonly span: Span; readonly maxBytes: number },
): Promise<{ readonly path: string; readonly sizeBytes: number } | undefined> {
  // Quiet, git tells of nothing but what the filter leaves out.
  const filter = ['--quiet', `--filter=blob:limit=${maxBytes + 1}`, '--filter-print-omitted'];
  const large = await first(revisions(git, place, { span, args: ['--objects', ...filter] }));
  if (large === undefined) return undefined;
  const oid = large.slice(1);
  const sizes = await git.run(['cat-file', '-s', oid], options(place));
  return { path: await pathOf(git, place, { span, oid }), sizeBytes: Number(sizes.stdout) };
}

/** Where in the tree a file of a span lies; one of the places, where there are several. */
async function pathOf(
  git: Git,
  place: ObjectPlace,
  { span, oid }: { readonly span: Span; readonly oid: string },
): Promise<string> {
  for await (const line of revisions(git, place, { span, args: ['--objects'] })) {
    if (line.startsWith(oid)) return line.slice(oid.length + 1);
  }
  return oid;
}

async function first(lines: AsyncGenerator<string>): Promise<string | undefined> {
  for await (const line of lines) return line;
  return undefined;
}

/** The lines of `git rev-list` about a span. It is ended when nobody wants more of them. */
async function* revisions(
  git: Git,
  place: ObjectPlace,
  { span, args }: { readonly span: Span; readonly args: readonly string[] },
): AsyncGenerator<string> {
  const { news, known } = span;
  const but = known === 'all' ? ['--not', '--all'] : [];
  const { cwd, scratch, signal } = options(place);
  const child = git.start(['rev-list', ...args, '--stdin', ...but], { cwd, scratch });
  const end = (): void => child.end();
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  const excluded = known === 'all' ? [] : known.map((oid) => `^${oid}`);
  child.stdin.end([...news, ...excluded].map((oid) => `${oid}\n`).join(''));
  child.stderr.resume();
  let isRead = false;
  try {
    yield* createInterface({ input: child.stdout });
    isRead = true;
  } finally {
    if (!isRead) child.end();
    signal.removeEventListener('abort', end);
  }
  const { status } = await child.exited;
  signal.throwIfAborted();
  if (status !== 0) throw new Error(`git rev-list ended with ${status}`);
}

/** A git object as it is stored. */
export interface StoredObject {
  readonly oid: string;
  readonly type: string;
  readonly content: Buffer;
}

/**
 * Objects by their oids, in that order; for commits and tags, which are small.
 *
 * @throws Error when one is missing, or all together are more than 16 MiB
 */
export async function readObjects(
  git: Git,
  place: ObjectPlace,
  oids: readonly string[],
): Promise<readonly StoredObject[]> {
  const input = oids.map((oid) => `${oid}\n`).join('');
  const read = await git.run(['cat-file', '--batch'], { ...options(place), input });
  if (read.status !== 0) throw new Error(`git cat-file ended with ${read.status}`);
  const { stdout } = read;
  let at = 0;
  return oids.map((oid) => {
    const end = stdout.indexOf('\n', at);
    const [, type = '', size] = stdout.toString('latin1', at, end).split(' ');
    if (size === undefined) throw new Error(`${oid} is ${type}`);
    const begin = end + 1;
    at = begin + Number(size) + 1;
    return { oid, type, content: stdout.subarray(begin, at - 1) };
  });
}

/**
 * The types of objects, in the order asked for; `missing` for those that are not there.
 *
 * @throws Error when git fails
 */
export async function typesOf(
  git: Git,
  place: ObjectPlace,
  oids: readonly string[],
): Promise<readonly string[]> {
  const input = oids.map((oid) => `${oid}\n`).join('');
  const args = ['cat-file', '--batch-check=%(objecttype)'];
  const { status, stdout } = await git.run(args, { ...options(place), input });
  if (status !== 0) throw new Error(`git cat-file ended with ${status}`);
  return stdout.toString('latin1').trimEnd().split('\n');
}

function options({ directory: cwd, quarantine: scratch, signal }: ObjectPlace) {
  return { cwd, scratch, signal };
}
