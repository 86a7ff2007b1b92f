import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { beginHouse, clearCutOff, finishHouse, inspectHouse } from '../../src/core/house.ts';
import { openStore } from '../../src/store/store.ts';

function place(t: Test): { dataDir: string; database: string } {
  const dataDir = join(t.testdir(), 'data');
  return { dataDir, database: join(dataDir, 'cpm.db') };
}

t.test(
  'S7 a look at a data directory whose first start is under way changes nothing in it',
  async (t) => {
    const { dataDir, database } = place(t);
    await beginHouse(dataDir);
    await (await openStore(database)).close();
    writeFileSync(join(dataDir, 'keys/host_ed25519'), 'key');
    const before = readdirSync(dataDir, { recursive: true }).sort();

    // What every command of the operator does, and a second server before it knows of the first.
    t.equal(await inspectHouse(dataDir, database), 'absent');

    t.same(readdirSync(dataDir, { recursive: true }).sort(), before);
    await finishHouse(dataDir);
    t.equal(await inspectHouse(dataDir, database), 'complete');
  },
);

t.test(
  'S7 a first start that was cut off is cleared away by the next server, and nothing else is',
  async (t) => {
    const { dataDir, database } = place(t);
    await beginHouse(dataDir);
    await (await openStore(database)).close();
    writeFileSync(join(dataDir, 'keys/host_ed25519'), 'key');
    writeFileSync(join(dataDir, 'notes.txt'), 'the operator’s own');

    await clearCutOff(dataDir, database);

    t.same(readdirSync(dataDir).sort(), ['notes.txt', 'run']);
    t.equal(await inspectHouse(dataDir, database), 'absent');
    await beginHouse(dataDir);
    await (await openStore(database)).close();
    await finishHouse(dataDir);
    await clearCutOff(dataDir, database);
    t.ok(existsSync(database), 'a finished one is not touched');
  },
);

t.test(
  'S7 part of a data directory without the rest is refused, and nothing is created',
  async (t) => {
    const parts = ['cpm.db', 'keys', 'repositories', 'trash', 'incoming'];
    for (const missing of parts) {
      await t.test(`without ${missing}`, async (t) => {
        const { dataDir, database } = place(t);
        await beginHouse(dataDir);
        await (await openStore(database)).close();
        await finishHouse(dataDir);
        rmSync(join(dataDir, missing), { recursive: true });
        const before = readdirSync(dataDir, { recursive: true }).sort();

        await t.rejects(inspectHouse(dataDir, database), { code: 'unavailable', message: missing });

        t.same(readdirSync(dataDir, { recursive: true }).sort(), before);
      });
    }
  },
);
