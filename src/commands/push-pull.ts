import { pullNew, pullRepo } from '../core/peering/pull.ts';
import { pushRepo } from '../core/peering/push.ts';
import type { Remote } from '../core/peering/remote.ts';
import { UserError } from '../model/errors.ts';
import { parseRepoPath } from '../model/repo.ts';
import type { Repository } from '../store/repositories.ts';
import type { Server } from '../store/servers.ts';
import { present } from './answers.ts';
import {
  allFor,
  answered,
  carried,
  needsOf,
  optionsOf,
  type RunRow,
  runAnswer,
  runRefusal,
  runText,
  runWith,
  serversOf,
} from './carry.ts';
import { type Context, command } from './command.ts';

/** The repositories that were named, each allowed to be carried; or all that are linked, and for a backup all there are. */
async function sendable(
  { core, principal }: Context,
  server: Server,
  names: readonly string[] | undefined,
): Promise<readonly Repository[]> {
  if (names === undefined) return allFor({ core }, server);
  const found: Repository[] = [];
  for (const name of names) {
    const path = parseRepoPath(name);
    const ask = { need: 'carry', path, right: 'read', serverId: server.id } as const;
    found.push(present((await core.access.authorize(principal, ask)).repo));
  }
  return found;
}

function pushCommand(words: string) {
  return command({
    words,
    summary: 'Send repositories to another server',
    examples: [`${words} acme/app --to b`, `${words} --all --to b`],
    args: {
      ...carried,
      to: { type: 'string', format: 'server', description: 'main_server, or every backup' },
    },
    positions: ['repos'],
    answer: runAnswer,
    changes: true,
    needs: (args) => needsOf(args, 'push'),
    target: ({ repos }) => repos?.join(' '),
    run: async (context, args) => {
      const options = optionsOf(context, args, false);
      const rows: RunRow[] = [];
      const errors: UserError[] = [];
      context.staySilent();
      for (const server of await serversOf(context, args.to, 'push')) {
        const repos = await sendable(context, server, args.repos);
        const work = (remote: Remote, repo: Repository) =>
          pushRepo(context.core, remote, { repo, ...options });
        const done = await runWith(context, server, { repos, work, options });
        rows.push(...done.rows);
        errors.push(...done.errors);
      }
      return answered(context, rows, errors);
    },
    text: runText,
    refusal: runRefusal,
  });
}

interface Wanted {
  readonly fullName: string;
  readonly repo: Repository | undefined;
}

/** The repositories that were named; those that are not here yet are for the operator and site admins to fetch. */
async function receivable(
  { core, principal }: Context,
  server: Server,
  names: readonly string[] | undefined,
): Promise<readonly Wanted[]> {
  if (names === undefined) {
    return (await allFor({ core }, server)).map((repo) => ({ fullName: repo.fullName, repo }));
  }
  const found: Wanted[] = [];
  for (const name of names) {
    const path = parseRepoPath(name);
    const ask = { need: 'carry', path, right: 'write', serverId: server.id } as const;
    try {
      const { repo } = await core.access.authorize(principal, ask);
      found.push({ fullName: present(repo).fullName, repo });
    } catch (error) {
      if (!(error instanceof UserError) || error.code !== 'not_found') throw error;
      const standing = await core.access.standing(principal);
      if (standing.kind !== 'operator' && !standing.siteAdmin) throw error;
      found.push({ fullName: name, repo: undefined });
    }
  }
  return found;
}

function pullCommand(words: string) {
  return command({
    words,
    summary: 'Fetch repositories from another server',
    examples: [`${words} acme/app --from b`],
    args: {
      ...carried,
      from: { type: 'string', format: 'server', description: 'main_server unless told' },
      'allow-shrink': {
        type: 'boolean',
        description: 'although much would be deleted or forced, or set back',
      },
    },
    positions: ['repos'],
    answer: runAnswer,
    changes: true,
    needs: (args) => needsOf(args, 'pull'),
    target: ({ repos }) => repos?.join(' '),
    run: async (context, args) => {
      const { core } = context;
      const options = optionsOf(context, args, args['allow-shrink'] === true);
      const [server] = await serversOf(context, args.from, 'pull');
      const from = present(server);
      context.staySilent();
      const repos = await receivable(context, from, args.repos);
      const work = (remote: Remote, { fullName: name, repo }: Wanted) =>
        repo === undefined
          ? pullNew(core, remote, { name, isAsked: true, ...options })
          : pullRepo(core, remote, { repo, ...options });
      const { rows, errors } = await runWith(context, from, { repos, work, options });
      return answered(context, rows, errors);
    },
    text: runText,
    refusal: runRefusal,
  });
}

export const carryCommands = [pushCommand('push'), pullCommand('pull')];
