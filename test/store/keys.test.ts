import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fingerprint } from '../../src/model/sshkey.ts';
import { openStore } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';

async function open(t: Test) {
  const store = await openStore(join(t.testdir(), 'cpm.db'));
  t.teardown(() => store.close());
  const ada = await store.users.add({ name: 'ada', admin: false }, actor());
  const bo = await store.users.add({ name: 'bo', admin: false }, actor());
  const inForce = (key: { blob: Buffer }) => store.keys.inForce(fingerprint(key.blob), key.blob);
  return { ...store, ada, bo, inForce };
}

t.test(
  'S3 revoking a key takes along the keys that it added, and those that they added',
  async (t) => {
    const { keys, ada, bo, inForce } = await open(t);
    const [root, child, grandchild, other] = [freshKey(), freshKey(), freshKey(), freshKey()];
    const add = (key: typeof root, userId: string, keyId?: string) =>
      keys.add({ key, userId, verified: true }, actor(keyId === undefined ? {} : { keyId }));
    const first = await add(root, ada);
    const second = await add(child, ada, first.id);
    const third = await add(grandchild, bo, second.id);
    await add(other, bo);

    const ended = await keys.revoke({ keyId: first.id }, actor());

    t.same(new Set(ended), new Set([first.id, second.id, third.id]));
    for (const key of [root, child, grandchild]) t.equal(await inForce(key), undefined);
    t.ok(await inForce(other), 'nobody else’s');
    t.same(await keys.revoke({ keyId: first.id }, actor()), [], 'done already is done');
  },
);

t.test('S3 a revoked key is never accepted again, from nobody', async (t) => {
  const { keys, users, ada, bo, inForce } = await open(t);
  const key = freshKey();
  const { id } = await keys.add({ key, userId: ada, verified: true }, actor());
  await keys.revoke({ keyId: id }, actor());

  for (const userId of [ada, bo]) {
    for (const verified of [true, false]) {
      const again = keys.add({ key, userId, verified }, actor());
      await t.rejects(again, { code: 'conflict', message: /never accepted again/ });
    }
  }
  const asFirstKey = users.add({ name: 'cy', admin: false, key }, actor());
  await t.rejects(asFirstKey, { code: 'conflict', message: /never accepted again/ });
  t.equal(await inForce(key), undefined);
});

t.test('S4 a pending key signs nobody in and reserves nothing', async (t) => {
  const { keys, ada, bo, inForce } = await open(t);
  const key = freshKey();
  const squat = await keys.add({ key, userId: bo, verified: false }, actor());
  t.equal(await inForce(key), undefined);
  t.match(await keys.challenge(squat.id), /^[0-9a-f]{64}$/);

  const real = await keys.add({ key, userId: ada, verified: true }, actor());

  t.match(await inForce(key), { id: real.id, userId: ada });
  const pending = await keys.byId(squat.id);
  if (pending === undefined) throw new Error('the pending key is gone');
  await t.rejects(keys.verify(pending, actor()), { code: 'conflict' });
  t.match(await inForce(key), { userId: ada }, 'it is still ada’s');
});

t.test(
  'S4 a pending key that was given up binds nobody, and can not be verified any more',
  async (t) => {
    const { keys, ada, bo, inForce } = await open(t);
    const key = freshKey();
    const { id } = await keys.add({ key, userId: bo, verified: false }, actor());
    const asBoSawIt = await keys.byId(id);
    if (asBoSawIt === undefined) throw new Error('the pending key is gone');
    await keys.revoke({ keyId: id }, actor());

    await t.rejects(keys.verify(asBoSawIt, actor()), { code: 'conflict' });
    t.equal(await inForce(key), undefined);
    await keys.add({ key, userId: ada, verified: true }, actor());
    t.match(await inForce(key), { userId: ada });
  },
);

t.test('a pending key comes into force by its signature, once', async (t) => {
  const { keys, bo, inForce } = await open(t);
  const key = freshKey();
  const { id } = await keys.add({ key, userId: bo, verified: false }, actor());
  t.same(await keys.add({ key, userId: bo, verified: false }, actor()), { id, changed: false });
  const pending = await keys.byId(id);
  if (pending === undefined) throw new Error('the pending key is gone');

  await keys.verify(pending, actor());

  t.match(await inForce(key), { id, state: 'active' });
  t.equal(await keys.challenge(id), undefined);
  t.same(await keys.add({ key, userId: bo, verified: true }, actor()), { id, changed: false });
});

t.test('a key that has ended signs nobody in; one of another blob neither', async (t) => {
  const { keys, ada, inForce } = await open(t);
  const key = freshKey();
  const expiresAt = new Date(Date.now() - 1000).toISOString();
  await keys.add({ key, userId: ada, verified: true, expiresAt }, actor());
  const good = freshKey();
  await keys.add({ key: good, userId: ada, verified: true }, actor());

  t.equal(await inForce(key), undefined);
  t.match(await keys.listOf(ada), [{ state: 'expired' }, { state: 'active' }]);
  const forged = await keys.inForce(fingerprint(good.blob), freshKey().blob);
  t.equal(forged, undefined, 'the bytes are compared, not the fingerprint alone');
});

t.test('removing a user revokes their keys and keeps their name', async (t) => {
  const { keys, users, bo, inForce } = await open(t);
  const key = freshKey();
  await keys.add({ key, userId: bo, verified: true }, actor());
  const user = await users.byId(bo);
  if (user === undefined) throw new Error('bo is gone');

  await users.remove(user, actor());

  t.equal(await inForce(key), undefined);
  const again = users.add({ name: 'bo', admin: false }, actor());
  await t.rejects(again, { code: 'conflict', message: /stays reserved/ });
  t.match(await users.byId(bo), { state: 'deleted', name: 'bo' });
});
