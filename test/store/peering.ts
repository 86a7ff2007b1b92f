import type { Repository } from '../../src/store/repositories.ts';
import type { Store } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';
import { followLog } from './logs.ts';

const oid = (digit: number) => String(digit).repeat(40);

/** Does once whatever the store can do about other servers. */
export async function meetServers(store: Store, repo: Repository): Promise<void> {
  const { servers, serverLinks, syncs, conflicts, invitations } = store;
  const key = freshKey();
  const id = await servers.add({ name: 'b', role: 'backup', key }, actor());
  const server = await servers.byId(id);
  if (server === undefined) throw new Error('a server was added and is not there');
  await servers.byName('b');
  await servers.byKeyId((await servers.byKey(key.blob))?.key.id ?? '');
  await servers.list();
  await servers.addKey(server, freshKey(), actor());
  await servers.keysOf(id);
  await servers.set(server, { role: 'main', url: 'cpm@b:22', bandwidth: 1024 }, actor());
  await servers.pin(server, 'SHA256:x', 'ssh-ed25519 AAAA', actor());
  await servers.note(server, { state: 'down', error: 'x' }, actor());

  await serverLinks.link(server, repo, { bornThere: true }, actor());
  await serverLinks.link(server, repo, { remoteId: 'x' }, actor());
  await serverLinks.of(id, repo.id);
  await serverLinks.byRemote(id, 'x');
  await serverLinks.listOf(id);
  await serverLinks.ofRepo(repo.id);
  await serverLinks.mainOf(repo.id);
  await serverLinks.holdings(id, repo);
  await serverLinks.noteNamespace(repo.namespaceId, server, actor());
  await serverLinks.isMirrorNamespace(repo.namespaceId, id);

  const pair = { serverId: id, repoId: repo.id };
  await syncs.agree(pair, new Map([['refs/heads/main', oid(1)]]));
  await syncs.agree(pair, new Map());
  await syncs.base(pair);
  const numbers = { refsUpdated: 1, refsConflicted: 0, bytesSent: 1, bytesReceived: 1 };
  const run = { ...pair, ...numbers, bytesTotal: 1, startedAt: new Date().toISOString() };
  const how = { direction: 'out', transport: 'rsync', result: 'updated' } as const;
  await syncs.ended({ ...run, ...how }, 'b', actor());
  await syncs.lastOf(pair);
  await syncs.lastWith(id);
  await syncs.deletions(repo.id, ['refs/heads/main']);

  const about = { repoId: repo.id, serverId: id, server: 'b', ref: 'refs/heads/main' };
  const values = { kind: 'diverged', local: oid(1), remote: oid(2), base: oid(0) } as const;
  await conflicts.put({ id: crypto.randomUUID(), ...about, ...values }, actor());
  await conflicts.put({ id: crypto.randomUUID(), ...about, ...values }, actor());
  await conflicts.open();
  const [open] = await conflicts.open(repo.id);
  await conflicts.openWith(id);
  if (open === undefined) throw new Error('a conflict was opened and is not there');
  await conflicts.end(open, 'local', actor());
  await conflicts.decided(pair);
  await conflicts.told(pair, ['refs/heads/main']);
  await followLog(store, { ...server, role: 'main' }, repo);
  const invited = freshKey();
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  const wanted = { name: 'c', role: 'dev', blob: invited.blob, expiresAt } as const;
  const invitation = await invitations.invite(wanted, actor());
  await invitations.open(invitation);
  const found = await invitations.byKey(invited.blob);
  if (found === undefined) throw new Error('a server was invited and is not');
  await invitations.take(found, { name: 'c', role: 'dev' }, actor());

  await serverLinks.unlink(server, repo, actor());
  await servers.remove(server, actor());
}
