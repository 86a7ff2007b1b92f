import { join } from 'node:path';
import t from 'tap';
import { mostUnconfirmed } from '../../src/store/neighbors.ts';
import { openStore } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';

t.test('however many answer, a few hundred are kept, and a known one is known again', async (t) => {
  const store = await openStore(join(t.testdir(), 'cpm.db'));
  t.teardown(() => store.close());
  const claims = { toldName: 'x', version: '1', port: 9418, sshPort: 22, publicRepositories: 0 };
  const results = new Map<string, number>();
  const first = { key: freshKey().blob, ...claims, address: '10.0.0.1' };
  for (let nth = 0; nth < mostUnconfirmed + 44; nth += 1) {
    const seen = nth === 0 ? first : { ...first, key: freshKey().blob };
    const result = await store.neighbors.see(seen, actor());
    results.set(result, (results.get(result) ?? 0) + 1);
  }
  t.strictSame(Object.fromEntries(results), { added: mostUnconfirmed, full: 44 });
  t.equal(await store.neighbors.see(first, actor()), 'same');
  t.equal(await store.neighbors.see({ ...first, address: '10.0.0.2' }, actor()), 'moved');
  t.equal((await store.neighbors.list()).length, mostUnconfirmed);
});
