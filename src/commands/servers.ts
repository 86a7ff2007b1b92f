import { addressOf, expectHostKey } from '../core/peering/trust.ts';
import { UserError } from '../model/errors.ts';
import { parsePeerUrl, peerRoles, peerUrl } from '../model/peer.ts';
import { parseRepoPath } from '../model/repo.ts';
import { parsePublicKey } from '../model/sshkey.ts';
import { readSizeBytes } from '../model/units.ts';
import type { Server } from '../store/servers.ts';
import { boolean, changed, changedId, object, present, string } from './answers.ts';
import { type Context, command } from './command.ts';

export const name = { type: 'string', format: 'server', description: "the server's name" } as const;
const role = {
  type: 'string',
  enum: peerRoles,
  description: 'what it is to this server; dev unless told',
} as const;
const print = {
  type: 'string',
  format: 'fingerprint',
  description: 'of its host key, as its operator reads it there',
} as const;
const bandwidth = {
  type: 'string',
  format: 'rate',
  description: 'bytes a second at the most, as 20M; or unlimited',
} as const;
const repo = { type: 'string', format: 'repo', description: 'NAMESPACE/NAME' } as const;

/** @throws UserError `not_found` */
export async function findServer({ core }: Pick<Context, 'core'>, wanted: string): Promise<Server> {
  const server = await core.store.servers.byName(wanted);
  if (server !== undefined) return server;
  throw new UserError('not_found', `${wanted}: no such server`, {
    hint: 'see them with: servers list; a new one is made known with: servers join, or servers add',
  });
}

/** Bytes a second; null without a bound; undefined where nothing was said. */
function rateOf(text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  return readSizeBytes(text) ?? null;
}

const add = command({
  words: 'servers add',
  summary: 'Make another server known: its address, its host key, the key that it signs in with',
  examples: ['servers add b cpm@b.example.org:2222 --role backup --fingerprint SHA256:…'],
  args: {
    name,
    url: { type: 'string', format: 'server-url', description: 'cpm@HOST:PORT' },
    role,
    fingerprint: print,
    key: { type: 'string', format: 'file', description: 'its public key, or - for stdin' },
    bandwidth,
  },
  positions: ['name', 'url'],
  required: ['name'],
  answer: changedId,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by, signal } = context;
    const { url, fingerprint: hostKey } = args;
    if (url !== undefined && hostKey === undefined) {
      throw new UserError('usage', 'servers add with an address needs --fingerprint', {
        hint: 'its operator reads it there with: ssh-keygen -lf DATA_DIR/keys/host_ed25519.pub',
      });
    }
    const key =
      args.key === undefined ? undefined : parsePublicKey(String(await context.readFile(args.key)));
    const seen =
      url === undefined || hostKey === undefined
        ? undefined
        : await expectHostKey(parsePeerUrl(url), hostKey, signal).catch((error) => {
            // It may not run yet; its key is looked up when it is first needed.
            if (error instanceof UserError && error.code === 'unavailable') return undefined;
            throw error;
          });
    const id = await core.store.servers.add(
      {
        name: args.name,
        role: args.role ?? 'dev',
        url: url === undefined ? undefined : peerUrl(parsePeerUrl(url)),
        hostKey,
        hostKeyLine: seen?.line,
        key,
        bandwidth: rateOf(args.bandwidth) ?? undefined,
      },
      by,
    );
    return { changed: true, id };
  },
  text: () => 'Added.',
});

const set = command({
  words: 'servers set',
  summary: "Change a server's role, address or bandwidth, or add a key that it signs in with",
  examples: ['servers set b --role dev', 'servers set b --bandwidth 20M'],
  args: {
    name,
    role: { ...role, description: 'what it is to this server' },
    url: { type: 'string', format: 'server-url', description: 'cpm@HOST:PORT' },
    bandwidth,
    key: { type: 'string', format: 'file', description: 'one more public key, or - for stdin' },
  },
  positions: ['name'],
  required: ['name'],
  answer: changed,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by } = context;
    const server = await findServer(context, args.name);
    const url = args.url === undefined ? undefined : peerUrl(parsePeerUrl(args.url));
    const next = { role: args.role, url, bandwidth: rateOf(args.bandwidth) };
    const keyed =
      args.key !== undefined &&
      (await core.store.servers.addKey(
        server,
        parsePublicKey(String(await context.readFile(args.key))),
        by,
      ));
    const moved = await core.store.servers.set(server, next, by);
    return { changed: moved || keyed };
  },
  text: (answer) => (answer.changed ? 'Changed.' : 'As it was already.'),
});

const remove = command({
  words: 'servers remove',
  summary: 'Forget a server: it may do nothing here any more; repositories stay',
  examples: ['servers remove b --yes'],
  args: { name },
  positions: ['name'],
  required: ['name'],
  answer: changed,
  changes: true,
  asks: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, args) => {
    const { core, by } = context;
    const server = await findServer(context, args.name);
    const keys = await core.store.servers.keysOf(server.id);
    await core.store.servers.remove(server, by);
    if (!by.dryRun) {
      core.couriers.sever(server);
      const why = new UserError('denied', 'this server is not known here any more');
      core.sessions.endKeys(
        keys.map(({ id }) => id),
        why,
      );
    }
    return { changed: true };
  },
  text: () => 'Removed.',
});

const trust = command({
  words: 'servers trust',
  summary: "Pin a server's host key, in place of the one that was pinned",
  examples: ['servers trust b --fingerprint SHA256:…'],
  args: { name, fingerprint: print },
  positions: ['name'],
  required: ['name', 'fingerprint'],
  answer: object({ changed: boolean, fingerprint: string }),
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => args.name,
  run: async (context, { name: wanted, fingerprint }) => {
    const { core, by, signal } = context;
    const server = await findServer(context, wanted);
    const seen =
      server.url === undefined
        ? undefined
        : await expectHostKey(addressOf(server), fingerprint, signal);
    const pinned = await core.store.servers.pin(server, fingerprint, seen?.line, by);
    return { changed: pinned, fingerprint };
  },
  text: (answer) => `${answer.changed ? 'Pinned' : 'Pinned already:'} ${answer.fingerprint}`,
});

/** The repository of a link, as the asker sees it. */
async function linkable(context: Context, wanted: string) {
  const { core, principal } = context;
  const path = parseRepoPath(wanted);
  const found = await core.access.authorize(principal, { need: 'repo', path, right: 'read' });
  return present(found.repo);
}

const link = command({
  words: 'servers link',
  summary: 'Approve that a repository is kept equal with the same one of another server',
  examples: ['servers link b acme/app'],
  args: { name, repo },
  positions: ['name', 'repo'],
  required: ['name', 'repo'],
  answer: changed,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => `${args.name} ${args.repo}`,
  run: async (context, args) => {
    const server = await findServer(context, args.name);
    const found = await linkable(context, args.repo);
    const { store } = context.core;
    return { changed: await store.serverLinks.link(server, found, {}, context.by) };
  },
  text: (answer) => (answer.changed ? 'Linked on this side.' : 'Linked already.'),
});

const unlink = command({
  words: 'servers unlink',
  summary: 'End the link of a repository; both keep what they have',
  examples: ['servers unlink b acme/app'],
  args: { name, repo },
  positions: ['name', 'repo'],
  required: ['name', 'repo'],
  answer: changed,
  changes: true,
  needs: () => ({ need: 'site-admin' }),
  target: (args) => `${args.name} ${args.repo}`,
  run: async (context, args) => {
    const server = await findServer(context, args.name);
    const found = await linkable(context, args.repo);
    return { changed: await context.core.store.serverLinks.unlink(server, found, context.by) };
  },
  text: (answer) => (answer.changed ? 'Unlinked.' : 'There was no such link.'),
});

export const serversCommands = [add, set, remove, trust, link, unlink];
