import { UserError } from './errors.ts';
import { quoted } from './repo.ts';

/** What a git client's first packet asks of a git daemon. */
export interface GitRequest {
  /** The program with its dash, `git-upload-pack`, and the path as it came: the words of a request. */
  readonly words: readonly [program: string, path: string];
  /** `GIT_PROTOCOL`, unchecked; undefined where the client sent no extra parameters. */
  readonly protocol: string | undefined;
}

/**
 * Reads `git-upload-pack /acme/app.git\0host=example.org\0\0version=2\0`. The host parameter is for servers of several
 * names: it may be anything and changes nothing.
 *
 * @throws UserError `usage` when it is no such packet
 * @see gitprotocol-pack(5), Git Transport
 */
export function readGitRequest(payload: Buffer): GitRequest {
  const text = payload.toString('utf8');
  const end = text.indexOf('\0');
  const line = (end < 0 ? text : text.slice(0, end)).replace(/\n$/, '');
  const [, program, path] = /^(git-[a-z-]+) (.+)$/s.exec(line) ?? [];
  if (program === undefined || path === undefined) {
    throw new UserError('usage', `${quoted(line)} is no request of git`);
  }
  const rest = end < 0 ? '' : text.slice(end + 1);
  const extra = rest.startsWith('\0') ? rest.slice(1) : rest.slice(rest.indexOf('\0\0') + 2);
  const hasExtra = rest.startsWith('\0') || rest.includes('\0\0');
  const parameters = hasExtra ? extra.split('\0').filter((each) => each !== '') : [];
  const protocol = parameters.length === 0 ? undefined : parameters.join(':');
  return { words: [program, path], protocol };
}
