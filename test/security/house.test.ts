import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { House } from '../support/house.ts';
import { serve } from '../support/serve.ts';

const house = await House.open(t);
const { admin } = house;
const bo = await house.person('bo');
const work = await bo.worktree();
await bo.git(['push', '-q', bo.url('app'), 'main'], { cwd: work });
await bo.git(['commit', '-q', '--amend', '--allow-empty', '-m', 'again'], { cwd: work });
await bo.git(['push', '-q', '--force', bo.url('app'), 'main'], { cwd: work });
await bo.git(['clone', '-q', bo.url('app'), 'clone']);
await admin.ssh('init notes --description d');
await admin.ssh('repo set notes --visibility internal');
await house.command('sshkey generate --name deploy');
await bo.ssh('show nothing');

/** A copy of the data directory as a stopped server left it. */
function copyOf(name: string): string {
  const copy = join(house.folder, name);
  cpSync(house.dataDir, copy, { recursive: true, preserveTimestamps: true });
  rmSync(join(copy, 'run'), { recursive: true, force: true });
  return copy;
}

const parts = ['cpm.db', 'keys', 'repositories', 'trash', 'incoming'];

function entries(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
}

t.test('S30 after real use everything in the data directory is its owner’s alone', async (t) => {
  const loose = entries(house.dataDir).filter((name) => {
    const stat = lstatSync(join(house.dataDir, name));
    const wanted = stat.isDirectory() ? 0o700 : 0o600;
    const isPublicKey = /^keys\/[a-z0-9_]+\.pub$/.test(name);
    return (stat.mode & 0o777 & ~wanted) !== (isPublicKey ? 0o044 : 0);
  });

  t.same(loose, []);
  t.equal(lstatSync(house.dataDir).mode & 0o777, 0o700);
  const packed = entries(join(house.dataDir, 'repositories')).filter((name) =>
    /objects\/../.test(name),
  );
  t.ok(packed.length > 0, 'with objects, as a push brought them');
  t.ok(existsSync(join(house.dataDir, 'run', 'cpm.sock')), 'and the socket of the running server');
});

t.test('S28 the record is whole after all this, and stays so when rows are added', async (t) => {
  const before = JSON.parse((await house.command('audit verify --json')).stdout);
  t.match(before, { ok: true, first_bad: null });

  await admin.ssh('whoami');
  const after = await house.command(['audit', 'verify', '--head', before.head, '--json']);

  t.equal(after.status, 0);
  t.match(JSON.parse(after.stdout), { ok: true, first_bad: null });
  t.ok(JSON.parse(after.stdout).rows > before.rows);
  const other = before.head.replace(/:.*/, `:${'0'.repeat(64)}`);
  t.match(await admin.ssh(['audit', 'verify', '--head', other]), { status: 7 });
});

t.test('S28 a request is two rows, one written when it begins and one when it ends', async (t) => {
  await admin.ssh('whoami');
  await house.command('audit list');
  const db = new Sqlite(join(house.dataDir, 'cpm.db'), { readonly: true });
  t.teardown(() => db.close());

  const rows = db
    .prepare("SELECT phase, outcome FROM audit WHERE action = 'whoami' ORDER BY seq")
    .all();

  t.same(rows.slice(-2), [
    { phase: 'open', outcome: 'open' },
    { phase: 'close', outcome: 'ok' },
  ]);
});

t.test('S28 a changed row, a missing row and a cut tail are found', async (t) => {
  const { head } = JSON.parse((await house.command('audit verify --json')).stdout);
  await house.stop();
  const cases = [
    { name: 'changed', sql: "UPDATE audit SET outcome = 'denied' WHERE seq = 5", first_bad: 5 },
    { name: 'detail', sql: `UPDATE audit SET detail = '{"x":1}' WHERE seq = 6`, first_bad: 6 },
    { name: 'missing', sql: 'DELETE FROM audit WHERE seq = 7', first_bad: 7 },
    { name: 'untouched', sql: '', first_bad: null },
  ];
  for (const { name, sql, first_bad } of cases) {
    const copy = copyOf(name);
    tamper(copy, sql);

    const found = await house.command(['--data-dir', copy, 'audit', 'verify', '--json']);

    t.equal(found.status, first_bad === null ? 0 : 7, name);
    t.match(JSON.parse(found.stdout), { ok: first_bad === null, first_bad });
  }
  const cut = copyOf('cut');
  tamper(cut, 'DELETE FROM audit WHERE seq > (SELECT max(seq) FROM audit) - 4');
  t.match(
    await house.command(['--data-dir', cut, 'audit', 'verify']),
    { status: 7 },
    'a head that was signed and stored tells of the end that is gone',
  );
  const found = await house.command(['--data-dir', cut, 'audit', 'verify', '--head', head]);
  t.match(found, { status: 7 }, 'but not with a head that was kept');
  t.match(found.stdout, /^The record is broken at row \d+; \d+ rows before it are whole\.\n$/);
});

function tamper(dataDir: string, sql: string): void {
  const db = new Sqlite(join(dataDir, 'cpm.db'));
  db.exec(`DELETE FROM open_request; ${sql}`);
  db.close();
}

t.test('S7 / test 15: with any part missing serve ends, and makes nothing', async (t) => {
  const missing = parts.map((part) => parts.filter((each) => each !== part));
  const alone = parts.map((part) => [part]);
  for (const kept of [...missing, ...alone, ['cpm.db', 'repositories'], ['keys', 'incoming']]) {
    const copy = copyOf('partial');
    for (const part of parts) {
      if (!kept.includes(part)) rmSync(join(copy, part), { recursive: true, force: true });
    }
    const before = entries(copy);

    const { status, stdout, stderr } = await serve(t, {
      env: { HOME: house.folder, CPM_ADMIN: 'eve', CPM_DATA_DIR: copy },
    }).ended;

    t.match({ status, stdout }, { status: 6, stdout: '' }, `with ${kept.join(', ')} alone`);
    t.match(stderr, 'is half a data directory');
    t.match(stderr, /nothing was created\nhint: is a disk not mounted\?/);
    t.same(entries(copy), before, 'nothing is made, nothing is lost');
    const command = await house.command(['--data-dir', copy, 'user', 'list']);
    t.ok([3, 6].includes(command.status), 'commands don’t work on it either');
    t.same(entries(copy), before);
    rmSync(copy, { recursive: true });
  }
});

t.test('S7 a private key that others can read is not used', async (t) => {
  const copy = copyOf('loose');
  const key = join(copy, 'keys', 'host_ed25519');
  chmodSync(key, 0o640);

  const answer = await serve(t, { env: { HOME: house.folder, CPM_DATA_DIR: copy } }).ended;

  t.match(answer, { status: 6, stdout: '' });
  t.match(answer.stderr, `private key ${key} can be read by others\nhint: run: chmod 600 ${key}`);
});

t.test(
  'S30 root on somebody else’s data directory is told whom to be',
  { skip: process.getuid?.() === 0 ? false : 'only root can give a folder away' },
  async (t) => {
    for (const [uid, owner] of [
      [33, 'www-data'],
      [54321, "'#54321'"],
    ] as const) {
      const copy = copyOf(`of-${uid}`);
      chownSync(copy, uid, uid);
      const before = entries(copy);
      const told = `the data directory ${copy} belongs to ${owner}\nhint: run it as its owner: sudo -u ${owner} cpm --data-dir ${copy}`;

      for (const words of [
        ['user', 'list'],
        ['user', 'add', 'eve'],
        ['audit', 'verify'],
      ]) {
        const answer = await house.command(['--data-dir', copy, ...words]);
        t.match(answer, { status: 4, stdout: '' }, words.join(' '));
        t.match(answer.stderr, told);
      }
      const served = await serve(t, { env: { HOME: house.folder, CPM_DATA_DIR: copy } }).ended;
      t.match(served, { status: 4, stdout: '' }, 'serve');
      t.match(served.stderr, told);

      t.same(entries(copy), before, 'and root leaves nothing behind');
    }
    const empty = join(house.folder, 'empty');
    mkdirSync(empty);
    chownSync(empty, 33, 33);
    const served = await serve(t, { env: { HOME: house.folder, CPM_DATA_DIR: empty } }).ended;
    t.match(served, { status: 4 }, 'nor does it make itself at home in an empty one');
    t.same(entries(empty), []);
  },
);
