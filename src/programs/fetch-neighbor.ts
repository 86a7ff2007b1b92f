import { UserError } from '../model/errors.ts';
import { isOid } from '../model/oid.ts';
import { escapeControls } from '../model/repo.ts';
import type { RefList } from '../model/sync-refs.ts';
import { sizeText } from '../model/units.ts';
import type { Git, GitConfig } from './git.ts';
import { TooMuchOutput } from './run.ts';
import { guardSize } from './size.ts';
import { type Watch, watch } from './watched.ts';

/** git:// alone, and everything that comes in is checked; the three are faults that old, honest histories carry. */
const gitOnly: GitConfig = {
  'protocol.allow': 'never',
  'protocol.git.allow': 'always',
  'fetch.fsckObjects': 'true',
  'fetch.fsck.zeroPaddedFilemode': 'ignore',
  'fetch.fsck.badTimezone': 'ignore',
  'fetch.fsck.missingSpaceBeforeDate': 'ignore',
  'fetch.unpackLimit': '1',
};

/** What a git daemon shows of a repository; all of it claims. */
export interface Advertised {
  readonly refs: RefList;
  /** The branch that HEAD leads to. */
  readonly head: string | undefined;
}

const longestList = 4 * 1024 * 1024;
const listMs = 60_000;
/** How long a server may be silent while it sends. */
const silentMs = 60_000;

/** @throws UserError `unavailable` when it can't be listed, or is too much; `not_found` when the server refuses */
export async function listNeighbor(
  git: Git,
  cwd: string,
  { url, signal }: { url: string; signal: AbortSignal },
): Promise<Advertised> {
  const args = ['ls-remote', '--symref', '--', url];
  const limits = { maxBytes: longestList, timeoutMs: listMs, signal };
  const { status, stdout, stderr } = await git
    .run(args, { cwd, config: gitOnly, ...limits })
    .catch((cause: Error) => {
      signal.throwIfAborted();
      const why = cause instanceof TooMuchOutput ? 'it lists too many refs' : 'it does not answer';
      throw new UserError('unavailable', `${url}: ${why}`, { cause });
    });
  if (status !== 0) throw refused(url, stderr);
  const refs = new Map<string, string>();
  let head: string | undefined;
  for (const line of stdout.toString().split('\n')) {
    const [value = '', name = ''] = line.split('\t');
    if (name === 'HEAD') head ??= /^ref: refs\/heads\/(.+)$/.exec(value)?.[1];
    else if (isOid(value) && !name.endsWith('^{}')) refs.set(name, value);
  }
  return { refs, head };
}

/** What the other side said, or that nobody is there: git's client tells it on one line. */
function refused(url: string, stderr: string): UserError {
  const said = /remote error: (.*)/.exec(stderr)?.[1];
  const last = stderr.trim().split('\n').at(-1) ?? '';
  const why = escapeControls(said ?? last).slice(0, 200);
  return new UserError(said === undefined ? 'unavailable' : 'not_found', `${url}: ${why}`);
}

/**
 * Fetches refs with all that they reach into a bare repository that nobody else sees.
 *
 * @param refspecs - which refs, and where they go
 * @throws UserError `unavailable` when it breaks off, is silent for too long, or is more than `limitBytes`;
 *   `corrupt` when git finds a fault in what came
 */
export async function fetchNeighbor(
  git: Git,
  directory: string,
  {
    url,
    refspecs,
    limitBytes,
    signal,
    progress,
  }: Watch & { url: string; refspecs: readonly string[]; limitBytes: number },
): Promise<void> {
  const stop = new AbortController();
  const end = (why: string) => stop.abort(new UserError('unavailable', `${url}: ${why}`));
  const unguard = guardSize({ directory: `${directory}/objects`, limitBytes }, () =>
    end(`it sends more than ${sizeText(limitBytes)} (limits.pack_size)`),
  );
  const silent = setTimeout(() => end('it has sent nothing for a minute'), silentMs);
  try {
    const args = ['fetch', '--no-write-fetch-head', '--no-tags', '--progress', '--', url];
    const { status, lines } = await watch(git, [...args, ...refspecs], {
      cwd: directory,
      config: gitOnly,
      signal: AbortSignal.any([signal, stop.signal]),
      progress: (now) => {
        silent.refresh();
        progress?.(now);
      },
    });
    if (status === 0) return;
    const said = lines.filter((line) => /^(fatal|error|remote error): /.test(line)).join('; ');
    const why = escapeControls(said).slice(0, 300);
    const isFault = /fsck|object|pack/.test(said) && !/hung up|early EOF/.test(said);
    throw new UserError(isFault ? 'corrupt' : 'unavailable', `${url}: ${why}; nothing was changed`);
  } finally {
    unguard();
    clearTimeout(silent);
  }
}
