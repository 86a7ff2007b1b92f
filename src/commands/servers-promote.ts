import { handOver, unlike } from '../core/peering/hand-over.ts';
import type { Compared } from '../core/peering/likeness.ts';
import { rehearse } from '../core/peering/rehearse.ts';
import { takeOver } from '../core/peering/take-over.ts';
import { UserError } from '../model/errors.ts';
import type { Server } from '../store/servers.ts';
import { array, boolean, integer, maybeTime, object, string } from './answers.ts';
import { optionsOf } from './carry.ts';
import { command } from './command.ts';
import { findServer, name } from './servers.ts';

const args = {
  name,
  rehearse: {
    type: 'boolean',
    description: 'prove that refs, history, users and rights are equal; switch nothing',
  },
  force: {
    type: 'boolean',
    description: 'on the backup, about a main that is away: take over, whatever was not received',
  },
} as const;

/** So many differences are told one by one. */
const mostTold = 100;

function told({ differences }: Pick<Compared, 'differences'>): string {
  const lines = differences
    .slice(0, mostTold)
    .map((each) => `${each.kind} ${each.name} ${each.why}`);
  const more = differences.length - lines.length;
  return [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n');
}

/** `servers promote NAME --rehearse`. */
const rehearsal = command({
  words: 'servers promote --rehearse',
  summary: 'Prove that a backup is what its main is, without switching',
  examples: [],
  args,
  positions: ['name'],
  required: ['name'],
  answer: object({
    changed: boolean,
    server: string,
    equal: boolean,
    repos: integer,
    differences: array(object({ kind: string, name: string, why: string })),
  }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const server = await findServer(context, args.name);
    context.staySilent();
    const { repos, differences } = await rehearse(
      context.core,
      server,
      optionsOf(context, {}, false),
    );
    const equal = differences.length === 0;
    return { changed: false, server: server.name, equal, repos, differences };
  },
  text: (answer) =>
    answer.equal
      ? `Equal with ${answer.server}: ${answer.repos} repositories with their history, users and rights.`
      : told(answer),
  refusal: ({ equal, server, differences }) =>
    equal
      ? undefined
      : new UserError(
          'conflict',
          `${server}: ${differences.length === 1 ? 'one thing differs' : `${differences.length} things differ`}`,
          {
            hint: `carry what is missing, then look again: servers sync ${server}`,
          },
        ),
});

/** `servers promote`. */
export const serversPromote = command({
  words: 'servers promote',
  summary:
    'Have a backup take over from its main. On the main, about its backup: no more pushes are taken here, all that it lacks is carried there, and it leads from then on; on any failure before, this server goes on as the main. With --force, on the backup, its main away: this server leads, and what the main had alone comes back as conflicts once it is met again. With --rehearse: prove that refs, history, users and rights are equal on both, and switch nothing; on either side',
  examples: [
    'servers promote b --rehearse',
    'servers promote b --yes',
    'servers promote hq --force --yes',
  ],
  args,
  positions: ['name'],
  required: ['name'],
  answer: object({
    changed: boolean,
    server: string,
    term: integer,
    forced: boolean,
    last_met_at: maybeTime,
    not_received: array(object({ name: string, since: maybeTime })),
  }),
  changes: true,
  asks: true,
  instead: (args) => (args.rehearse === true ? rehearsal : undefined),
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core } = context;
    const server = await findServer(context, args.name);
    context.staySilent();
    const options = optionsOf(context, {}, false);
    const { force = false } = args;
    if (force && server.role === 'main') {
      const { term, lastMetAt, notReceived } = await takeOver(core, server, context.by);
      const lacks = { last_met_at: lastMetAt, not_received: notReceived };
      return { changed: true, server: server.name, term, forced: true, ...lacks };
    }
    if (server.role !== 'backup') throw notHere(server);
    if (force) throw new UserError('usage', '--force is for a backup whose main is away');
    const nothing = { forced: false, last_met_at: null, not_received: [] };
    if (context.by.dryRun) {
      const { differences } = await rehearse(core, server, options);
      if (differences.length > 0) throw unlike(server, differences);
      const term = (await core.store.leads.term()) + 1;
      return { changed: true, server: server.name, term, ...nothing };
    }
    const term = await handOver(core, server, options);
    return { changed: true, server: server.name, term, ...nothing };
  },
  text: ({ server, term, forced, last_met_at: met, not_received: lacks }) =>
    forced
      ? [
          `This server leads in the place of ${server}, in term ${term}; ${server} was met last ${met ?? 'never'}.`,
          ...lacks.map(
            ({ name: what, since }) => `not received: ${what}, since ${since ?? 'unknown'}`,
          ),
          `What ${server} has alone comes back as conflicts once it is met again.`,
        ].join('\n')
      : `${server} leads, in term ${term}; this server is its backup, and takes no more pushes.`,
});

function notHere({ name, role }: Server): UserError {
  if (role === 'main') {
    return new UserError('conflict', `${name} leads: its operator hands over there`, {
      hint: `there: servers promote NAME, with the name that this server has there; if ${name} is away, here: servers promote ${name} --force`,
    });
  }
  return new UserError('denied', `${name} is a ${role} here, neither backup nor main`, {
    hint: `if it is to take over one day: servers set ${name} --role backup`,
  });
}
