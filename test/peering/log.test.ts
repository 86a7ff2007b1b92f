import { cpSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config.ts';
import { type Core, openCore } from '../../src/core/core.ts';
import { writeFirstKeys } from '../../src/core/first-start.ts';
import { beginHouse, finishHouse } from '../../src/core/house.ts';
import { PeerDesk } from '../../src/core/peering/desk.ts';
import { pageOf, publish, signKeyOf } from '../../src/core/peering/log-publish.ts';
import { importActor, takeStretch } from '../../src/core/peering/log-take.ts';
import { createLog } from '../../src/log.ts';
import {
  type ChangeEntry,
  entryText,
  type LogPosition,
  logNamespace,
  sha256,
} from '../../src/model/change-entry.ts';
import { generateEd25519, type KeyPair } from '../../src/model/ed25519.ts';
import {
  hostNewsNamespace,
  hostNewsText,
  signInNewsNamespace,
  signInNewsText,
} from '../../src/model/key-news.ts';
import { readSigner } from '../../src/model/signer.ts';
import { fingerprint, publicKeyLine } from '../../src/model/sshkey.ts';
import type { Server } from '../../src/store/servers.ts';
import { actor, freshKey } from '../store/actor.ts';

const signal = AbortSignal.timeout(60_000);

/** A data directory without doors. */
async function open(t: Test, folder: string): Promise<Core> {
  const env = { HOME: folder, CPM_DATA_DIR: join(folder, 'data') };
  const core = await openCore(await loadConfig({ flags: {} }, env), createLog('silent'));
  t.teardown(() => core.close());
  return core;
}

async function begin(t: Test, folder: string): Promise<Core> {
  const env = { HOME: folder, CPM_DATA_DIR: join(folder, 'data') };
  await beginHouse(env.CPM_DATA_DIR);
  const key = { ...freshKey(), comment: '', source: '', identityFile: undefined };
  await writeFirstKeys(await loadConfig({ flags: {} }, env), { name: 'ada', key });
  await finishHouse(env.CPM_DATA_DIR);
  return open(t, folder);
}

const addUser = ({ store }: Core, name: string) =>
  store.users.add({ name, admin: false, key: freshKey() }, actor());

async function serverOf({ store }: Core, name: string): Promise<Server> {
  const server = await store.servers.byName(name);
  if (server === undefined) throw new Error(`${name} is gone`);
  return server;
}

/** A main with two users, and a backup that has taken in all of its log; and the main as it was then, in a folder. */
async function scene(t: Test) {
  const folder = t.testdir({ main: {}, backup: {} });
  const main = await begin(t, join(folder, 'main'));
  const backup = await begin(t, join(folder, 'backup'));
  await backup.store.users.add({ name: 'bea', admin: true, key: freshKey() }, actor());
  await backup.store.servers.add({ name: 'hq', role: 'main' }, actor());
  for (const name of ['ana', 'bo']) await addUser(main, name);
  const head = await publish(main);
  const start = { identities: true, signKey: await signKeyOf(main), position: head };
  const breakGlass = (await backup.store.users.firstAdmin())?.id;
  const follow = async () =>
    backup.store.following.begin(await serverOf(backup, 'hq'), { ...start, breakGlass }, actor());
  await follow();
  const take = async (position: LogPosition, entries: readonly ChangeEntry[]) => {
    const server = await serverOf(backup, 'hq');
    return takeStretch(backup, server, {
      ...{ head: position, entries },
      by: importActor(server, actor()),
    });
  };
  const first = await pageOf(main, 0);
  await take(head, first);
  const old = join(folder, 'old');
  await main.store.copy(join(folder, 'copy.db'));
  cpSync(join(folder, 'main'), old, { recursive: true });
  cpSync(join(folder, 'copy.db'), join(old, 'data/cpm.db'));
  for (const wal of ['-wal', '-shm']) cpSync('/dev/null', join(old, `data/cpm.db${wal}`));
  const error = async () => (await serverOf(backup, 'hq')).error;
  const users = async () => {
    const page = await backup.store.users.page('', 100);
    return page.map(({ name }) => name);
  };
  return { main, backup, head, first, old, take, follow, error, users };
}

/** The next entries of the main, after one more user. */
async function more({ main, head }: { main: Core; head: LogPosition }, name = 'cy') {
  await addUser(main, name);
  return { head: await publish(main), entries: await pageOf(main, head.seq) };
}

/** An entry that says something else, signed by whoever holds the key. */
async function resigned(core: Core, entry: ChangeEntry, change: Partial<ChangeEntry>) {
  const next = { ...entry, ...change };
  const bodyHash = next.body === undefined ? next.bodyHash : sha256(next.body);
  const text = entryText(core.store.houseId, { ...next, bodyHash });
  const signature = (await core.chain.signer()).sign(logNamespace, text);
  return { ...next, bodyHash, hash: sha256(text), signature };
}

t.test('S22 entries that are replayed are refused, and nothing comes of them', async (t) => {
  const { head, first, take, users } = await scene(t);
  const before = await users();

  await t.rejects(take(head, first), { code: 'conflict', message: /was taken in before/ });
  await t.rejects(take(head, first.slice(-1)), { code: 'conflict' });
  t.same(await users(), before);
});

t.test('S22 an entry that its main did not sign is refused whole', async (t) => {
  const stage = await scene(t);
  const { main, backup, take, users, error } = stage;
  const next = await more(stage);
  const [entry] = next.entries;
  if (entry === undefined) throw new Error('nothing was published');
  const body = entry.body?.replace('"cy"', '"eve"') ?? '';
  const others: Record<string, ChangeEntry> = {
    'another body': { ...entry, body },
    'another body, its sums made right': {
      ...(await resigned(main, entry, { body })),
      signature: entry.signature,
    },
    'signed by another key': await resigned(backup, entry, {}),
    'signed for something else': {
      ...entry,
      signature: (await main.chain.signer()).sign(
        'cpm-hello',
        entryText(main.store.houseId, entry),
      ),
    },
    'no signature': { ...entry, signature: '' },
  };

  for (const [what, forged] of Object.entries(others)) {
    const rest = next.entries.slice(1);
    await t.rejects(take(next.head, [forged, ...rest]), { code: 'corrupt' }, what);
  }
  t.equal(
    await error(),
    undefined,
    'whoever carries it may have damaged it: it is asked for again',
  );
  await take(next.head, next.entries);
  t.ok((await users()).includes('cy'));
});

t.test('S22 a forked log stops all with its server, until somebody here has looked', async (t) => {
  const stage = await scene(t);
  const { backup, old, take, follow, error, users } = stage;
  const twin = await open(t, old);
  const [ours, theirs] = [await more(stage), await more({ main: twin, head: stage.head }, 'eve')];
  await take(ours.head, ours.entries);

  await t.rejects(take(theirs.head, []), { code: 'denied', message: /forked/ });
  t.match(await error(), /its entry \d+ is not the one that is known here/);
  t.equal((await serverOf(backup, 'hq')).state, 'untrusted');
  await t.rejects(take(ours.head, []), { code: 'denied', message: /forked/ }, 'and stays so');
  t.notOk((await users()).includes('eve'));

  await follow();
  t.equal(await error(), undefined, 'a person here has taken it as it is now');
});

t.test('S22 an entry that does not follow the one before stops all with its server', async (t) => {
  const cases: Record<string, (entry: ChangeEntry) => Partial<ChangeEntry>> = {
    'a gap': ({ seq }) => ({ seq: seq + 1 }),
    'another past': () => ({ previous: sha256('x') }),
    'a lower term': () => ({ term: 0 }),
    'another epoch': ({ epoch }) => ({ epoch: epoch + 1 }),
  };
  const stage = await scene(t);
  const next = await more(stage);
  const [entry] = next.entries;
  if (entry === undefined) throw new Error('nothing was published');
  for (const [what, change] of Object.entries(cases)) {
    await stage.follow();
    await stage.take(stage.head, stage.first);

    const forged = await resigned(stage.main, entry, change(entry));
    await t.rejects(stage.take(next.head, [forged]), { code: 'denied', message: /forked/ }, what);
    t.match(await stage.error(), /forked/, what);
    t.notOk((await stage.users()).includes('cy'), what);
  }
});

t.test('S22 a lower term, a lower epoch and another origin are refused', async (t) => {
  const stage = await scene(t);
  const { backup, take, error } = stage;
  const { head, entries } = await more(stage);
  const refused = { code: 'denied' };

  await t.rejects(take({ ...head, term: 0 }, entries), { ...refused, message: /of term 0/ });
  await t.rejects(take({ ...head, epoch: 0 }, entries), { ...refused, message: /of epoch 0/ });
  const other = { ...head, origin: backup.store.houseId };
  await t.rejects(take(other, entries), { ...refused, message: /another data directory/ });
  t.equal(await error(), undefined, 'who has an old lead is no fork');
  await take(head, entries);
});

t.test('SQLite restored old: a log that went back stops all with its server', async (t) => {
  const stage = await scene(t);
  const next = await more(stage);
  await stage.take(next.head, next.entries);
  const restored = await open(t, stage.old);

  const back = await publish(restored);
  t.equal(back.seq, stage.head.seq, 'it is as it was');
  await t.rejects(stage.take(back, []), { code: 'denied', message: /went back/ });
  t.match(await stage.error(), /entry \d+ is known here, and it ends with \d+/);
});

t.test('S19 the break-glass admin of a backup stays, whatever the log says', async (t) => {
  const stage = await scene(t);
  const { main, backup, take } = stage;
  const bea = await backup.store.users.byName('bea');
  await main.store.users.add({ name: 'bea', admin: false, key: freshKey() }, actor());
  const theirs = await main.store.users.byName('bea');
  if (theirs === undefined || bea === undefined) throw new Error('bea is gone');
  await main.store.users.setState(theirs, 'disabled', actor());

  await take(await publish(main), await pageOf(main, stage.head.seq));
  t.match(await backup.store.users.byId(bea.id), { name: 'bea', state: 'active', admin: true });
});

t.test(
  'stolen tokens: a session is its server’s, of its direction, and until it ends',
  async (t) => {
    const { backup } = await scene(t);
    const { store, syncSessions } = backup;
    const key = freshKey();
    await store.servers.add({ name: 'eve', role: 'dev', key }, actor());
    const [hq, eve] = [await serverOf(backup, 'hq'), await serverOf(backup, 'eve')];
    const [eves] = await store.servers.keysOf(eve.id);
    const principal = { kind: 'server', id: eve.id, name: 'eve', keyId: eves?.id ?? '' } as const;
    const desk = new PeerDesk({
      ...{ core: backup, by: actor(), signal },
      principal: { ...principal, fingerprint: eves?.fingerprint ?? '' },
    });
    const wanted = { serverId: hq.id, repoId: crypto.randomUUID(), direction: 'in' } as const;
    const session = await syncSessions.open(wanted);
    const { token } = session;
    const denied = { code: 'denied', message: /not yours, or it has ended/ };

    t.equal(syncSessions.find(token, hq.id, 'in'), session);
    t.throws(() => syncSessions.find(token, eve.id, 'in'), denied, 'of another server');
    t.throws(() => syncSessions.find(token, hq.id, 'out'), denied, 'of another direction');
    t.throws(() => syncSessions.find(`${token.slice(1)}0`, hq.id, 'in'), denied, 'made up');
    for (const verb of ['commit', 'done', 'put-tar', 'get-tar']) {
      const stolen = { verb, token, decided: [], digest: '', id: 'x', bytes: 1 };
      await t.rejects(desk.answer(stolen), denied, verb);
    }
    await syncSessions.close(session);
    t.throws(() => syncSessions.find(token, hq.id, 'in'), denied, 'ended');
  },
);

t.test(
  'S20 keys that a server announces are taken only where those that are known say so',
  async (t) => {
    const { backup } = await scene(t);
    const { store } = backup;
    const [pinned, next, stranger, signIn] = [1, 2, 3, 4].map(() => generateEd25519('x'));
    if (!pinned || !next || !stranger || !signIn) throw new Error('four keys were made');
    const printOf = (pair: KeyPair) => fingerprint(pair.publicKey.blob);
    const [hostKey, known] = [printOf(pinned), freshKey()];
    const house = crypto.randomUUID();
    const about = { name: 'eve', role: 'dev', hostKey, key: known, houseId: house } as const;
    await store.servers.add(about, actor());
    const server = await serverOf(backup, 'eve');
    const [key] = await store.servers.keysOf(server.id);
    const principal = { kind: 'server', id: server.id, name: 'eve', keyId: key?.id ?? '' } as const;
    const desk = new PeerDesk({
      ...{ core: backup, by: actor(), signal },
      principal: { ...principal, fingerprint: key?.fingerprint ?? '' },
    });
    const host = { house, old: pinned.publicLine, line: next.publicLine };
    const hostBy = (pair: KeyPair, said = host, namespace: string = hostNewsNamespace) => ({
      ...said,
      signature: readSigner(pair.privateKey).sign(namespace, hostNewsText(said)),
    });
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const mine = { house, old: [fingerprint(known.blob)], line: signIn.publicLine, until };
    const mineBy = (pair: KeyPair, said = mine) => ({
      ...said,
      proof: readSigner(pair.privateKey).sign(signInNewsNamespace, signInNewsText(said)),
    });
    const ask = async (host: unknown, signIn: unknown) =>
      (await desk.answer({ verb: 'keys', host, signIn })) as { refused: string | null };

    const foreign = { ...host, old: stranger.publicLine };
    const hosts: Record<string, unknown> = {
      'signed by the new one': hostBy(next),
      'signed for something else': hostBy(pinned, host, 'cpm-hello'),
      'by a key that is not pinned': hostBy(stranger, foreign),
      'of another data directory': hostBy(pinned, { ...host, house: crypto.randomUUID() }),
      'for another key': { ...hostBy(pinned), line: stranger.publicLine },
      'without a signature': host,
      'no key': { ...hostBy(pinned), line: 'x' },
      'no text': 1,
    };
    for (const [what, news] of Object.entries(hosts)) {
      t.match(await ask(news, null), { refused: /pinned host key does not say so/ }, what);
    }
    const signIns: Record<string, unknown> = {
      'proven by another': mineBy(stranger),
      'in the place of a key that is not its own': mineBy(signIn, { ...mine, old: [hostKey] }),
      'of another data directory': mineBy(signIn, { ...mine, house: crypto.randomUUID() }),
      'with another end': { ...mineBy(signIn), until: '2099-01-01T00:00:00.000Z' },
      'with no end': mineBy(signIn, { ...mine, until: 'soon' }),
      'no list': { ...mineBy(signIn), old: 'all' },
    };
    for (const [what, news] of Object.entries(signIns)) {
      t.match(await ask(null, news), { refused: /not proven/ }, what);
    }
    const user = await store.users.byName('bea');
    const taken = { ...mine, line: publicKeyLine(stranger.publicKey) };
    const fresh = { key: { ...stranger.publicKey, comment: '' }, userId: user?.id ?? '' };
    await store.keys.add({ ...fresh, verified: true }, actor());
    await t.rejects(ask(null, mineBy(stranger, taken)), { code: 'conflict' }, "a person's key");
    t.same(await store.serverKeys.announced(server.id), []);
    t.match(await store.servers.keysOf(server.id), [{ id: key?.id, expiresAt: undefined }]);

    t.match(await ask(hostBy(pinned), mineBy(signIn)), { refused: null });
    t.match(await store.serverKeys.announced(server.id), [{ fingerprint: printOf(next) }]);
    const ends = (await store.servers.keysOf(server.id)).map(
      (each) => each.expiresAt !== undefined,
    );
    t.same(ends.sort(), [false, true], 'the old one has an end, the new one none');
    await store.servers.pin(server, printOf(stranger), undefined, actor());
    t.same(
      await store.serverKeys.announced(server.id),
      [],
      'who is trusted anew has just that key',
    );
  },
);
