import { follow } from '../core/peering/follow.ts';
import { array, boolean, integer, object, string } from './answers.ts';
import { optionsOf } from './carry.ts';
import { command } from './command.ts';
import { findServer, name } from './servers.ts';

/** `servers follow`. */
export const serversFollow = command({
  words: 'servers follow',
  summary:
    "Take in a main's change log: its repositories, their history and what was set aside there; with --identities its users, keys, organizations, rights and rules too. The operator and one site admin of this server, the first there was when it began, are never changed by it; a name that somebody else has here gets the server's behind it. Given again, it takes what is new, and a log that was stopped as it is now",
  examples: ['servers follow hq', 'servers follow hq --identities'],
  args: {
    name,
    identities: {
      type: 'boolean',
      description: 'users, public keys, organizations, rights and rules, from a main alone',
    },
  },
  positions: ['name'],
  required: ['name'],
  answer: object({
    changed: boolean,
    identities: boolean,
    term: integer,
    epoch: integer,
    seq: integer,
    entries: integer,
    mapped: array(
      object({ kind: string, id: string, called: string, name: string, kept: boolean }),
    ),
    waiting: array(string),
  }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const server = await findServer(context, args.name);
    context.staySilent();
    const options = { ...optionsOf(context, {}, false), identities: args.identities === true };
    return follow(context.core, server, options);
  },
  text: ({ identities, seq, entries, mapped, waiting }) =>
    [
      `Followed up to entry ${seq}, ${entries} of them new; ${identities ? 'users and rights too' : 'repositories alone'}.`,
      ...mapped.map(
        (each) =>
          `${each.kind} ${each.called} is ${each.name} here${each.kept ? ', and stays as it is here' : ', for somebody else has the name'}`,
      ),
      ...waiting.map((why) => `waits: ${why}`),
    ].join('\n'),
});
