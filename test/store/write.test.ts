import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import type { Conflict } from '../../src/store/conflicts.ts';
import { openStore } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';

async function open(t: Test) {
  const path = join(t.testdir(), 'cpm.db');
  const store = await openStore(path);
  const raw = new Sqlite(path);
  t.teardown(async () => {
    raw.close();
    await store.close();
  });
  const rows = (table: string) => raw.prepare(`SELECT count(*) FROM ${table}`).pluck().get();
  const changes = () =>
    raw.prepare('SELECT type, principal, request, detail FROM change ORDER BY seq').all();
  return { store, rows, changes };
}

t.test('a fact and its change row are written together', async (t) => {
  const { store, changes } = await open(t);
  const by = actor();

  await store.users.add({ name: 'ada', admin: true }, by);

  const detail = JSON.stringify({ name: 'ada', admin: true });
  t.same(changes(), [{ type: 'user-added', principal: 'operator', request: by.request, detail }]);
});

t.test('a dry run answers as the real run would, and leaves no row', async (t) => {
  const { store, rows } = await open(t);
  const key = freshKey();

  const id = await store.users.add({ name: 'ada', admin: true, key }, actor({ dryRun: true }));

  t.match(id, /^[0-9a-f-]{36}$/);
  for (const table of ['user', 'ssh_key', 'namespace', 'change']) t.equal(rows(table), 0, table);
  await store.users.add({ name: 'ada', admin: true, key }, actor());
  const again = store.users.add({ name: 'ada', admin: true }, actor({ dryRun: true }));
  await t.rejects(again, { code: 'conflict' }, 'what would fail fails');
});

t.test('a refusal in the middle takes back what came before it', async (t) => {
  const { store, rows } = await open(t);
  const key = freshKey();
  await store.users.add({ name: 'ada', admin: true, key }, actor());

  // The name is free and is taken first; the key is not.
  const refused = store.users.add({ name: 'bo', admin: false, key }, actor());

  await t.rejects(refused, { code: 'conflict', message: /in use already/ });
  t.equal(rows('user'), 1);
  t.equal(rows('namespace'), 1);
  t.equal(await store.names.find('bo'), undefined);
});

t.test('a repository’s row comes only with its directory, and goes only with it', async (t) => {
  const { store, rows } = await open(t);
  const ownerId = await store.users.add({ name: 'ada', admin: true }, actor());
  const settings = { description: '', visibility: 'private', defaultBranch: 'main' } as const;
  const repo = {
    id: crypto.randomUUID(),
    namespace: { name: 'ada', kind: 'user', ownerId },
    name: 'app',
    ...settings,
  } as const;
  const broken = async () => {
    throw new Error('the disk is full');
  };
  const nothing = async () => undefined;

  await t.rejects(store.repositories.add(repo, actor(), broken), { message: /disk is full/ });
  t.equal(rows('repository'), 0);
  await store.repositories.add(repo, actor({ dryRun: true }), broken);
  t.equal(rows('repository'), 0, 'a dry run makes no directory either');

  await store.repositories.add(repo, actor(), nothing);
  const app = await store.repositories.byId(repo.id);
  if (app === undefined) throw new Error('it was added and is not there');
  await t.rejects(store.repositories.remove(app, actor(), broken), { message: /disk is full/ });
  t.equal(rows('repository'), 1);
});

t.test('a change of one setting does not bring back what another changed meanwhile', async (t) => {
  const { store } = await open(t);
  const ownerId = await store.users.add({ name: 'ada', admin: true }, actor());
  const repo = {
    id: crypto.randomUUID(),
    namespace: { name: 'ada', kind: 'user', ownerId },
    name: 'app',
    description: '',
    visibility: 'public',
    defaultBranch: 'main',
  } as const;
  const nothing = async () => undefined;
  await store.repositories.add(repo, actor(), nothing);
  const asBothSawIt = await store.repositories.byId(repo.id);
  if (asBothSawIt === undefined) throw new Error('it was added and is not there');

  await store.repositories.set(asBothSawIt, { visibility: 'private' }, actor(), nothing);
  await store.repositories.set(asBothSawIt, { description: 'mine' }, actor(), nothing);

  t.match(await store.repositories.byId(repo.id), { visibility: 'private', description: 'mine' });
  const same = await store.repositories.set(
    asBothSawIt,
    { visibility: 'private' },
    actor(),
    nothing,
  );
  t.equal(same, false, 'what is so already is no change');
});

t.test('a conflict that another run ended meanwhile is opened again, under its id', async (t) => {
  const { store, rows } = await open(t);
  const ownerId = await store.users.add({ name: 'ada', admin: true }, actor());
  const settings = { description: '', visibility: 'private', defaultBranch: 'main' } as const;
  const namespace = { name: 'ada', kind: 'user', ownerId } as const;
  const repoId = crypto.randomUUID();
  const repo = { id: repoId, namespace, name: 'app', ...settings };
  await store.repositories.add(repo, actor(), async () => undefined);
  const server = { name: 'b', role: 'dev', key: freshKey() } as const;
  const serverId = await store.servers.add(server, actor());
  const [local, remote, later, base] = ['1', '2', '3', '0'].map((digit) => digit.repeat(40));
  const about = { id: crypto.randomUUID(), repoId, serverId, server: 'b', ref: 'refs/heads/main' };
  const values = { kind: 'diverged', local, remote, base, recalled: false } as const;

  await store.conflicts.put({ ...about, ...values } as Conflict, actor());
  const [found] = await store.conflicts.open(repoId);
  if (found === undefined) throw new Error('a conflict was opened and is not there');
  await store.conflicts.end(found, 'local', actor());
  await store.conflicts.put({ ...about, ...values, remote: later } as Conflict, actor());

  t.match(await store.conflicts.open(repoId), [{ id: about.id, remote: later }]);
  t.equal((await store.conflicts.decided({ serverId, repoId })).size, 0);
  t.equal(rows('sync_conflict'), 1);
});
