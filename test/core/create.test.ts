import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config.ts';
import { openCore } from '../../src/core/core.ts';
import { beginHouse, finishHouse } from '../../src/core/house.ts';
import { createLog } from '../../src/log.ts';
import { actor } from '../store/actor.ts';

t.test('a repository is built before the transaction that all others wait for', async (t) => {
  const dataDir = join(t.testdir(), 'data');
  await beginHouse(dataDir);
  await finishHouse(dataDir);
  const built: string[][] = [];
  const config = await loadConfig({ flags: {} }, { HOME: dataDir, CPM_DATA_DIR: dataDir });
  const core = await openCore(config, createLog('silent'), {
    seen: (sql) => {
      if (/^insert into "repository"/.test(sql)) built.push(readdirSync(join(dataDir, 'incoming')));
    },
  });
  t.teardown(() => core.close());
  await core.store.users.add({ name: 'ada', admin: true }, actor());
  const namespace = await core.store.names.find('ada');
  if (namespace === undefined) throw new Error('ada is gone');

  await core.repos.create({ namespace, name: 'app' }, actor());

  t.match(built, [[/^made-/]], 'it stands ready when its row is written');
  t.ok(existsSync(join(dataDir, 'repositories/ada/app.git/cpm-id')));
  t.strictSame(readdirSync(join(dataDir, 'incoming')), []);

  await t.rejects(core.repos.create({ namespace, name: 'app' }, actor()), { code: 'conflict' });
  await core.repos.create({ namespace, name: 'dry' }, actor({ dryRun: true }));
  t.strictSame(readdirSync(join(dataDir, 'incoming')), [], 'a refused one leaves nothing');
  t.notOk(existsSync(join(dataDir, 'repositories/ada/dry.git')));
});
