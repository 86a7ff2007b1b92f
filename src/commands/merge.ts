import { mergeModes } from '../core/merge/join.ts';
import { mergeBranches } from '../core/merge/merge.ts';
import { checkedMessage } from '../model/commit.ts';
import { UserError } from '../model/errors.ts';
import { shortOid } from '../model/oid.ts';
import { parseRepoPath } from '../model/repo.ts';
import { array, boolean, maybe, object, present, string } from './answers.ts';
import { type Context, command } from './command.ts';

interface Answer {
  readonly changed: boolean;
  readonly repo: string;
  readonly source: string;
  readonly target: string;
  readonly result: string;
  readonly commit: string | null;
  readonly conflicts: readonly { readonly path: string; readonly kind: string }[];
}

export const merge = command({
  words: 'merge',
  summary: 'Merge a branch or tag into a branch, on the server',
  examples: [
    'merge acme/app topic',
    'merge acme/app topic --into main --mode squash --message "Add a parser"',
    'merge acme/app topic --dry-run',
  ],
  args: {
    repo: { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' },
    source: { type: 'string', format: 'source', description: 'the exact name of a branch or tag' },
    into: { type: 'string', format: 'branch', description: 'the default branch unless told' },
    mode: {
      type: 'string',
      enum: mergeModes,
      description:
        'merge unless told, which fast-forwards where it can, as git merge does; ff-only never makes a commit; ' +
        'squash makes one of them all; rebase applies them one by one, without the merges among them',
    },
    message: {
      type: 'string',
      format: 'message',
      description: "of the merge or squash, git's own words unless told; - for standard input",
    },
  },
  positions: ['repo', 'source'],
  required: ['repo', 'source'],
  answer: object({
    changed: boolean,
    repo: string,
    source: string,
    target: string,
    result: {
      type: 'string',
      enum: ['up-to-date', 'fast-forward', 'merged', 'squashed', 'rebased', 'conflict'],
    },
    commit: maybe,
    conflicts: array(object({ path: string, kind: string })),
  }),
  changes: true,
  takesTurn: true,
  needs: (args) => ({ need: 'repo', path: parseRepoPath(args.repo), right: 'write' }),
  target: (args) => args.repo,
  run: async (context, args): Promise<Answer> => {
    const { core, principal, by, signal, note, record } = context;
    const repo = present(context.granted.repo);
    const message = args.message === undefined ? undefined : await messageOf(context, args.message);
    const { source, into, mode = 'merge' } = args;
    const request = { repo, principal, by, signal, source, into, mode, message };
    const { during, commit = null, ...answer } = await mergeBranches(core, request);
    record({ source: answer.source, target: answer.target, result: answer.result, commit });
    if (during !== undefined) note(`commit ${shortOid(during)} of ${source} can't be applied`);
    const isUnused = answer.result === 'fast-forward' || answer.result === 'rebased';
    if (message !== undefined && isUnused) note(`${answer.result}: the message was not needed`);
    const { changed, source: merged, target, result, conflicts } = answer;
    return { changed, repo: repo.fullName, source: merged, target, result, commit, conflicts };
  },
  text: ({ result, source, target, commit, conflicts }) => {
    const at = commit === null ? '' : ` ${shortOid(commit)}`;
    const said: Readonly<Record<string, string>> = {
      'up-to-date': `${target} has all of ${source} already.`,
      'fast-forward': `${target} was fast-forwarded to ${source}:${at}`,
      merged: `${source} was merged into ${target}:${at}`,
      squashed: `${source} was squashed into ${target}:${at}`,
      rebased: `${source} was rebased onto ${target}:${at}`,
    };
    return said[result]?.replace(/:$/, '.') ?? conflicts.map(conflictLine).join('\n');
  },
  refusal: ({ result, source, target, repo, conflicts }) =>
    result === 'conflict'
      ? new UserError('conflict', `${repo}: ${source} conflicts with ${target}`, {
          hint: `on your machine: git fetch, git switch ${source}, git merge origin/${target}; resolve ${pathsText(conflicts.length)}, push, merge again`,
        })
      : undefined,
});

function conflictLine({ path, kind }: Answer['conflicts'][number]): string {
  return `${kind}\t${path}`;
}

async function messageOf({ readFile }: Context, given: string): Promise<string> {
  return checkedMessage(given === '-' ? await readFile('-') : Buffer.from(given));
}

function pathsText(count: number): string {
  return count === 1 ? 'one path' : `${count} paths`;
}
