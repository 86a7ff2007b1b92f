import { follow } from '../core/peering/follow.ts';
import { invite } from '../core/peering/invite.ts';
import { join } from '../core/peering/join.ts';
import { UserError } from '../model/errors.ts';
import { counterpart, parseInvitation } from '../model/invitation.ts';
import { type PeerRole, peerRoles, peerUrl } from '../model/peer.ts';
import type { Server } from '../store/servers.ts';
import { boolean, object, string, time } from './answers.ts';
import { optionsOf } from './carry.ts';
import { type Context, command } from './command.ts';
import { name } from './servers.ts';

const inviteServer = command({
  words: 'servers invite',
  summary: 'Print one line with which another server joins this one: good once, for an hour',
  examples: ['servers invite b2 --role backup'],
  args: {
    name: { ...name, description: 'what it is to be called here' },
    role: { type: 'string', enum: peerRoles, description: 'what it is to be to this server' },
  },
  positions: ['name'],
  required: ['name', 'role'],
  answer: object({ changed: boolean, id: string, line: string, expires_at: time }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async ({ core, by, note }, args) => {
    const invited = { name: args.name, role: args.role as PeerRole };
    const { id, line, expiresAt } = await invite(core, invited, by);
    note(`on the other server, within the hour: cpm servers join LINE`);
    if (invited.role === 'main') {
      note(`once it has joined, here: cpm servers follow ${args.name} --identities`);
    }
    return { changed: true, id, line, expires_at: expiresAt };
  },
  text: ({ line }) => line,
});

/** What each role of the other server means for this one, in words of a person. */
const meanings: Readonly<Record<PeerRole, string>> = {
  main: 'It becomes our main: we are its backup. Its users, public keys, organizations, rights and rules come here and are kept as it has them; the operator and one site admin of this server stay as they are. Repositories born there come here as mirrors, which are read-only here; what was born here it can not write.',
  backup:
    'It becomes our backup: it may read everything here, private repositories, public keys and rights too, and gets every change at once.',
  dev: 'It becomes an equal: of itself that gives it nothing; repositories that both sides link, or grant it, sync both ways.',
  neighbor:
    'It becomes a neighbor: of itself that gives it nothing; repositories that both sides link, or grant it, sync both ways.',
};

const joinServer = command({
  words: 'servers join',
  summary: 'Take an invitation: both servers then know and trust each other',
  examples: ['servers join cpm-invitation,backup,cpm@hq.example.org:2222,SHA256:…,…'],
  args: {
    line: { type: 'string', format: 'invitation', description: 'as servers invite printed it' },
    name: {
      ...name,
      description: 'what the other server is to be called here; of its address unless told',
    },
  },
  positions: ['line'],
  required: ['line'],
  answer: object({
    changed: boolean,
    id: string,
    name: string,
    role: string,
    url: string,
    called_there: string,
    followed: boolean,
  }),
  changes: true,
  means: ({ line }) => {
    const { role, address, hostKey } = parseInvitation(line);
    return [
      `Join ${peerUrl(address)}, whose host key is ${hostKey}.`,
      meanings[counterpart(role)],
      "Each side pins the other's host key, and lets the other's key sign in.",
    ].join('\n');
  },
  needs: () => ({ need: 'site-admin' }),
  target: ({ line }) => peerUrl(parseInvitation(line).address),
  run: async (context, args) => {
    const { core, by, signal, note } = context;
    const invitation = parseInvitation(args.line);
    const joined = await join(core, { invitation, name: args.name, by, signal });
    const { server, calledThere } = joined;
    const followed = await followMain(context, server);
    if (server.role === 'backup') {
      note(
        `it follows once its operator says there: cpm servers follow ${calledThere} --identities`,
      );
    }
    note(`look whether all is well: servers test ${server.name}`);
    const { id, name: called, role, url = '' } = server;
    return { changed: true, id, name: called, role, url, called_there: calledThere, followed };
  },
  text: (answer) =>
    `${answer.name} is our ${answer.role} now; it calls us ${answer.called_there}.${answer.followed ? ' Its users and rights are followed.' : ''}`,
});

/**
 * Who joins a main is its backup: it was told so before it agreed, which is the confirmation that S19 wants. What was
 * joined stays so, whatever comes of that.
 */
async function followMain(context: Context, server: Server): Promise<boolean> {
  const { core, by, signal, note } = context;
  if (server.role !== 'main' || by.dryRun) return false;
  context.staySilent();
  try {
    const options = { ...optionsOf(context, {}, false), identities: true };
    const { mapped, waiting } = await follow(core, server, options);
    for (const { kind, called, name, kept } of mapped) {
      note(`${kind} ${called} is ${name} here${kept ? ', and stays as it is here' : ''}`);
    }
    for (const why of waiting) note(`waits: ${why}`);
    return true;
  } catch (error) {
    if (!(error instanceof UserError) || signal.aborted) throw error;
    note(`its users and rights are not followed yet: ${error.message}`);
    note(`try again with: servers follow ${server.name} --identities`);
    return false;
  }
}

export const serversJoinCommands = [inviteServer, joinServer];
