import { open } from 'node:fs/promises';
import { UserError } from '../model/errors.ts';
import { isOid } from '../model/oid.ts';
import type { Git, GitConfig } from './git.ts';
import { allRefs } from './refs.ts';
import { type Watch, watch } from './watched.ts';

/** Nothing but files of this machine, whatever the source calls itself. */
const filesOnly: GitConfig = {
  'protocol.allow': 'never',
  'protocol.file.allow': 'always',
  'fetch.unpackLimit': '1',
};

const refspecs = ['heads', 'tags', 'notes'].map((kind) => `+refs/${kind}/*:refs/${kind}/*`);

/**
 * Fetches branches, tags and notes of a repository or bundle into an empty bare repository; hooks, configuration and
 * everything else of it stay behind.
 *
 * @param source - absolute path
 * @returns the branch that its HEAD leads to; undefined when that is none
 * @throws UserError `usage` when it is nothing that git can read
 */
export async function fetchAll(
  git: Git,
  directory: string,
  { source, signal, progress }: Watch & { readonly source: string },
): Promise<string | undefined> {
  const show = progress === undefined ? [] : ['--progress'];
  const { status, lines } = await watch(
    git,
    ['fetch', '--no-write-fetch-head', '--no-tags', ...show, source, ...refspecs],
    { cwd: directory, config: filesOnly, signal, progress },
  );
  if (status !== 0) {
    const said = lines.filter((line) => /^(fatal|error): /.test(line)).join('; ');
    throw new UserError('usage', `it can't be read: ${said.replaceAll(source, 'the source')}`, {
      hint: 'name a complete git repository, or send a bundle of one: git bundle create - --all',
    });
  }
  return headOf(git, directory, source);
}

async function headOf(git: Git, directory: string, source: string): Promise<string | undefined> {
  const { stdout } = await git.run(['ls-remote', '--symref', source, 'HEAD'], {
    cwd: directory,
    config: filesOnly,
  });
  const text = stdout.toString();
  const branch = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(text)?.[1];
  if (branch !== undefined) return branch;
  // A bundle, and a HEAD that is no branch's, have nothing but the commit.
  const oid = /^([0-9a-f]{40})\tHEAD$/m.exec(text)?.[1];
  const branches = (await allRefs(directory)).flatMap((ref) =>
    ref.oid === oid ? (/^refs\/heads\/(.+)$/.exec(ref.name)?.[1] ?? []) : [],
  );
  return ['main', 'master'].find((name) => branches.includes(name)) ?? branches[0];
}

const longestHeader = 16 * 1024 * 1024;

/**
 * Looks at the head of a bundle.
 *
 * @throws UserError `usage` when it is none, or builds on commits that it does not hold
 */
export async function checkBundle(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    const size = Math.min((await file.stat()).size, longestHeader);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
    const [head = ''] = buffer.toString('latin1', 0, bytesRead).split('\n\n', 1);
    const [first = '', ...lines] = head.split('\n');
    const hint = 'make one of everything with: git bundle create - --all';
    const isKnown = /^# v[23] git bundle$/.test(first) && lines.every(isHeaderLine);
    if (!isKnown) throw new UserError('usage', 'what came in is no git bundle', { hint });
    if (!lines.some((line) => line.startsWith('-'))) return;
    throw new UserError('usage', 'the bundle builds on commits that it does not hold', { hint });
  } finally {
    await file.close();
  }
}

function isHeaderLine(line: string): boolean {
  if (line.startsWith('@')) return line === '@object-format=sha1';
  const [oid = ''] = line.replace(/^-/, '').split(' ', 1);
  return isOid(oid);
}
