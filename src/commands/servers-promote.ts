import type { Compared } from '../core/peering/likeness.ts';
import { rehearse } from '../core/peering/rehearse.ts';
import { UserError } from '../model/errors.ts';
import { array, boolean, integer, object, string } from './answers.ts';
import { optionsOf } from './carry.ts';
import { command } from './command.ts';
import { findServer, name } from './servers.ts';

const args = {
  name,
  rehearse: {
    type: 'boolean',
    description: 'prove that refs, history, users and rights are equal; switch nothing',
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
      : new UserError('conflict', `${server}: ${differences.length} things differ`, {
          hint: `carry what is missing, then look again: servers sync ${server}`,
        }),
});

/** `servers promote`. */
export const serversPromote = command({
  words: 'servers promote',
  summary:
    'Have a backup take over from its main. With --rehearse: prove that refs, history, users and rights are equal on both, and switch nothing; on either side',
  examples: ['servers promote b --rehearse'],
  args,
  positions: ['name'],
  required: ['name'],
  answer: object({ changed: boolean }),
  changes: true,
  asks: true,
  instead: (args) => (args.rehearse === true ? rehearsal : undefined),
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async () => {
    throw new UserError('usage', 'servers promote without --rehearse: not in this version');
  },
  text: () => '',
});
