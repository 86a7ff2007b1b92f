import { chmodSync, mkdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { House } from '../support/house.ts';
import { must } from '../support/process.ts';

const house = await House.open(t);
await house.admin.ssh('init app');
const at = (path: string) => join(house.dataDir, path);

interface Check {
  check: string;
  state: string;
  mended: boolean;
  hint: string | null;
}
const doctor = async (flags = '') => {
  const { status, stdout, stderr } = await house.operator(`doctor --json ${flags}`);
  const { checks, healthy, changed } = JSON.parse(stdout);
  const found = (checks as Check[]).filter(({ state, mended }) => state === 'fail' || mended);
  return { status, stderr, checks: checks as Check[], healthy, changed, found };
};

t.test('a sound server has a line for each check, and status 0', async (t) => {
  const { status, stdout } = await house.operator('doctor');

  t.equal(status, 0);
  const names = stdout
    .split('\n')
    .flatMap((line) => /^(?:ok|note) +([a-z]+): ./.exec(line)?.[1] ?? []);
  t.strictSame(names, [
    ...['node', 'git', 'ssh', 'rsync', 'config', 'keys', 'modes', 'disk', 'database'],
    ...['repositories', 'leftovers', 'listening', 'clock'],
  ]);
  t.match(await doctor(), { status: 0, healthy: true, changed: false, found: [] });
  t.match(await house.admin.ssh('doctor'), { status: 4 });
});

t.test('S30 what others may open is found, and mended by --fix', async (t) => {
  chmodSync(at('cpm.db'), 0o644);
  chmodSync(at('repositories/ada'), 0o755);

  t.match(await doctor(), {
    status: 6,
    healthy: false,
    found: [{ check: 'modes', hint: /chmod/ }],
  });
  t.match(await doctor('--fix --dry-run'), { changed: false });
  t.equal(statSync(at('cpm.db')).mode & 0o777, 0o644);
  t.match(await doctor('--fix'), { status: 0, changed: true, found: [{ mended: true }] });
  t.equal(statSync(at('cpm.db')).mode & 0o777, 0o600);
  t.match(await doctor(), { status: 0, found: [] });
});

t.test('S30 a private key that others may read is told with the chmod to run', async (t) => {
  chmodSync(at('keys/server_ed25519'), 0o640);

  t.match((await doctor()).found, [{ check: 'keys', hint: /chmod 600/ }, { check: 'modes' }]);

  await doctor('--fix');
});

t.test('what a crash left is cleared once it is old, and not before', async (t) => {
  mkdirSync(at('incoming/left'));
  t.match((await doctor('--fix')).found, []);
  utimesSync(at('incoming/left'), 0, 0);

  t.match(await doctor(), { status: 6, found: [{ check: 'leftovers' }] });
  t.match(await doctor('--fix'), { status: 0, changed: true });

  t.throws(() => statSync(at('incoming/left')));
});

t.test('a repository without its row, and a row without its repository', async (t) => {
  await must('git', ['init', '-q', '--bare', at('repositories/ada/stray.git')]);
  chmodSync(at('repositories/ada/stray.git'), 0o700);
  const noted = await doctor();
  t.match(
    noted.checks.find(({ check }) => check === 'repositories'),
    { state: 'warn', hint: /adopt/ },
  );
  t.equal(noted.status, 0);
  rmSync(at('repositories/ada/stray.git'), { recursive: true });
  renameSync(at('repositories/ada/app.git'), at('elsewhere'));

  t.match(await doctor(), { status: 7, found: [{ check: 'repositories' }] });

  renameSync(at('elsewhere'), at('repositories/ada/app.git'));
});

t.test('too little room, and a clock that went back', async (t) => {
  await house.operator('config set limits.disk_reserve 900000G');
  t.match((await doctor()).found, [{ check: 'disk', hint: /disk_reserve/ }]);
  await house.operator('config unset limits.disk_reserve');
  const db = new Sqlite(at('cpm.db'));
  db.exec(
    "UPDATE change SET at = '2999-01-01T00:00:00.000Z' WHERE seq = (SELECT max(seq) FROM change)",
  );
  db.close();

  t.match((await doctor()).found, [{ check: 'clock', hint: /NTP/ }]);
});

t.test('without a server there is the same, and a note of it', async (t) => {
  await house.stop();

  const { checks } = await doctor();

  t.match(
    checks.find(({ check }) => check === 'listening'),
    { state: 'warn', hint: /cpm serve/ },
  );
});
