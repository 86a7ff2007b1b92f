import { fingerprint } from '../../src/model/sshkey.ts';
import type { Repository } from '../../src/store/repositories.ts';
import type { Server } from '../../src/store/servers.ts';
import type { Store } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';
import { leadOn } from './leads.ts';
import { followLog } from './logs.ts';

const oid = (digit: number) => String(digit).repeat(40);

/** Does once whatever the store can do about other servers. */
export async function meetServers(store: Store, repo: Repository): Promise<void> {
  const { servers, serverLinks, syncs, births, conflicts, invitations } = store;
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
  await changeKeys(store, server);

  await serverLinks.link(server, repo, { bornThere: true }, actor());
  await serverLinks.link(server, repo, { remoteId: 'x' }, actor());
  await serverLinks.share(server, repo, 'out', actor());
  await serverLinks.share(server, repo, undefined, actor());
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
  await syncs.agreeAfter(undefined, pair, new Map());
  await syncs.base(pair);
  await syncs.heard(pair, { epoch: 'x', seq: 1 });
  const numbers = { refsUpdated: 1, refsConflicted: 0, bytesSent: 1, bytesReceived: 1 };
  const run = { ...pair, ...numbers, bytesTotal: 1, startedAt: new Date().toISOString() };
  const how = { direction: 'out', transport: 'rsync', result: 'updated' } as const;
  await syncs.ended({ ...run, ...how }, 'b', actor());
  await syncs.lastOf(pair);
  await syncs.doneAt(pair);
  await syncs.doneAt({ serverId: id });
  const taken = new Map([['refs/heads/main', oid(1)]]);
  const named = new Map([['refs/heads/main', 'b'.repeat(32)]]);
  await births.note(repo.id, { births: named, values: taken });
  await births.of(repo.id, ['refs/heads/main']);
  await births.deletions(repo.id, ['refs/heads/main']);

  await meetAgain(store, pair);

  const about = { repoId: repo.id, serverId: id, server: 'b', ref: 'refs/heads/main' };
  const oids = { local: oid(1), remote: oid(2), base: oid(0) };
  const values = { kind: 'diverged', ...oids, recalled: false } as const;
  await conflicts.put({ id: crypto.randomUUID(), ...about, ...values }, actor());
  await conflicts.put({ id: crypto.randomUUID(), ...about, ...values }, actor());
  await conflicts.open();
  const [open] = await conflicts.open(repo.id);
  await conflicts.openWith(id);
  if (open === undefined) throw new Error('a conflict was opened and is not there');
  await conflicts.end(open, 'local', actor());
  await conflicts.decided(pair);
  const now = new Date(Date.now() + 1000).toISOString();
  await conflicts.withKeptBefore(now, 10);
  await conflicts.keptBefore(repo.id, now);
  await conflicts.dropped(open);
  await conflicts.told(pair, ['refs/heads/main']);
  await followLog(store, { ...server, role: 'main' }, repo);
  await leadOn(store, { ...server, role: 'main' }, repo);
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

/** What is remembered between two meetings, and what lacks where. */
async function meetAgain(
  { digests, syncMarks, syncPeers }: Store,
  pair: { serverId: string; repoId: string },
): Promise<void> {
  await digests.of(pair.repoId);
  await digests.after(0, 1);
  await digests.noteDisk(pair.repoId, 'x');
  await digests.disk(pair.repoId);
  const place = await digests.place();
  await digests.holds(place);
  await digests.holds(await digests.at(place.epoch, 1));

  await syncPeers.met(pair.serverId, place);
  await syncPeers.missed(pair.serverId, 1, '');
  await syncPeers.tryNow(pair.serverId);
  await syncPeers.tryBy(pair.serverId, new Date().toISOString());
  await syncPeers.forget(pair.serverId);
  await syncPeers.of(pair.serverId);
  await syncPeers.agreeHead(pair, 'main');
  await syncPeers.head(pair);

  const key = { ...pair, direction: 'out' } as const;
  await syncMarks.put([{ ...key, seq: 1, name: 'acme/app' }]);
  await syncMarks.scan(10, async () => [{ ...key, seq: 2, name: 'acme/app' }]);
  const now = new Date().toISOString();
  await syncMarks.isDue(pair.serverId, { now, latest: now });
  await syncMarks.of(pair.serverId);
  await syncMarks.counts();
  await syncMarks.ofRepo(pair.repoId);
  const mark = await syncMarks.find(key);
  if (mark === undefined) throw new Error('a mark was put and is not there');
  await syncMarks.failed(mark, { error: 'x', held: true, nextAt: '' });
  await syncMarks.tryNow(pair.serverId);
  await syncMarks.tryBy(pair.serverId, new Date().toISOString());
  await syncMarks.done(mark);
  await syncMarks.drop({ ...pair });
  await syncMarks.drop({ repoId: pair.repoId });
}

/** Likewise with neighbors, who come and go. */
export async function meetNeighbors(store: Store, repo: Repository): Promise<void> {
  const { neighbors } = store;
  const { blob: key } = freshKey();
  const claims = { toldName: 'c', version: '1', port: 9418, sshPort: 2222, publicRepositories: 1 };
  const seen = { key, ...claims, address: '10.0.0.1' };
  await neighbors.see(seen, actor());
  await neighbors.see(seen, actor());
  const found = await neighbors.byKey(key);
  if (found === undefined) throw new Error('a neighbor was seen and is not there');
  await neighbors.noteCopy(repo, { neighbor: found, path: 'acme/app' }, actor());
  await neighbors.copyOf(repo.id);
  await neighbors.confirm(seen, { name: 'near', hostKey: 'SHA256:x', key: freshKey() }, actor());
  await neighbors.see({ ...seen, address: '10.0.0.2' }, actor());
  await neighbors.list();
  await neighbors.publicCount();
  await neighbors.publicNames(10);
  const confirmed = await neighbors.byName('near');
  if (confirmed === undefined) throw new Error('a neighbor was confirmed and is not there');
  await neighbors.remove(confirmed, actor());
}

/** Keys of another server's, and of this one's own, in the place of others. */
async function changeKeys({ serverKeys, ownKeys }: Store, server: Server): Promise<void> {
  await serverKeys.announced(server.id);
  await serverKeys.announce(server, { fingerprint: 'SHA256:y', line: 'ssh-ed25519 B' }, actor());
  await serverKeys.settle(server, ['SHA256:y'], actor());
  const until = new Date(Date.now() + 1000).toISOString();
  const next = { key: freshKey(), until, old: [] };
  await serverKeys.succeed(server, next, actor());
  const old = [fingerprint(next.key.blob)];
  await serverKeys.succeed(server, { key: freshKey(), until, old }, actor());
  await serverKeys.succeed(server, next, actor());
  const own = { fingerprint: 'SHA256:z', kind: 'host', path: '/x', until } as const;
  await ownKeys.put({ ...own, statement: '{}' }, actor());
  await ownKeys.of('host');
  await ownKeys.tell(server.id, own.fingerprint);
  await ownKeys.told(own.fingerprint);
  await ownKeys.drop(own, actor());
}
