import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { addToRecord } from '../support/audit-rows.ts';
import { Follower } from '../support/follower.ts';
import { doors, House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { run } from '../support/process.ts';

const verifier = join(import.meta.dirname, '../support/verify-audit.mjs');

interface Row {
  readonly seq: number;
  readonly at: string;
  readonly principal: string;
  readonly key: string | null;
  readonly address: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly outcome: string;
  readonly detail: Record<string, unknown>;
}

function rowsOf({ stdout }: { stdout: string }): Row[] {
  return JSON.parse(stdout);
}

function linesOf({ stdout }: { stdout: string }): Record<string, unknown>[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** An org with a secret repository that has one commit, pushed by its owner. */
async function secretRepository(house: House): Promise<{ owner: Person; member: Person }> {
  const owner = await house.person('olga');
  const member = await house.person('mia');
  for (const words of [
    'org create acme',
    'org member add acme olga --role owner',
    'init acme/secret',
    'init acme/other',
    'repo access grant acme/secret mia read',
  ]) {
    const { status, stderr } = await house.operator(words);
    if (status !== 0) throw new Error(`${words}: ${stderr}`);
  }
  const work = await owner.worktree();
  const pushed = await owner.git(['push', '-q', owner.url('acme/secret'), 'main'], { cwd: work });
  if (pushed.status !== 0) throw new Error(pushed.stderr);
  return { owner, member };
}

const house = await House.open(t, { config: 'audit:\n  keep: 1000d\n' });
const { owner, member } = await secretRepository(house);
const stranger = await house.person('sam');

t.test('who read a secret repository last month, and who tried', async (t) => {
  const clone = (person: Person, name: string) =>
    person.git(['clone', '-q', person.url('acme/secret'), name]);
  t.match(await clone(member, 'a'), { status: 0 });
  t.match(await clone(stranger, 'a'), { status: 128 });
  t.match(await clone(house.admin, 'a'), { status: 0 });
  t.match(await member.git(['clone', '-q', member.url('acme/other'), 'b']), { status: 128 });

  const ask = 'audit list --repo acme/secret --action git-upload-pack --since 30d --json'.split(
    ' ',
  );
  const people: [string, (words: string[]) => ReturnType<Person['ssh']>][] = [
    ...doors(house).map(
      ({ name, run }): [string, (words: string[]) => ReturnType<Person['ssh']>] => [name, run],
    ),
    ["its org's owner", (words) => owner.ssh(words)],
  ];
  for (const [name, run] of people) {
    const answer = await run(ask);
    t.equal(answer.status, 0, answer.stderr);
    t.match(
      rowsOf(answer),
      [
        { principal: 'user:ada', outcome: 'ok' },
        { principal: 'user:sam', outcome: 'not_found', address: '127.0.0.1' },
        {
          principal: 'user:mia',
          outcome: 'ok',
          key: member.key.fingerprint,
          target: 'acme/secret',
        },
      ],
      name,
    );
    t.equal(rowsOf(answer).length, 3, 'and nothing about any other repository');
  }
});

t.test('S18 a repository shows its record to its admins alone, and nothing else', async (t) => {
  await member.ssh('show acme/secret');
  await owner.ssh('show acme/other');
  await stranger.ssh('show acme/secret');
  await member.ssh('whoami');

  const shown = rowsOf(await owner.ssh('audit list --repo acme/secret --json'));
  t.strictSame([...new Set(shown.map(({ target }) => target))], ['acme/secret']);
  t.match(
    shown.filter(({ action }) => action === 'show'),
    [
      { principal: 'user:sam', outcome: 'not_found' },
      { principal: 'user:mia', outcome: 'ok' },
    ],
  );
  t.ok(shown.some(({ action }) => action === 'git-receive-pack'));

  const refusals: [Person, string, number][] = [
    [owner, 'audit list', 4],
    [owner, 'audit list --user mia', 4],
    [owner, 'audit export', 4],
    [owner, 'audit verify', 4],
    [owner, 'audit list --repo ada/none', 3],
    [member, 'audit list --repo acme/secret', 4],
    [stranger, 'audit list --repo acme/secret', 3],
    [owner, 'status', 4],
    [owner, 'sessions list', 4],
    [owner, 'sessions end 1', 4],
  ];
  for (const [person, words, status] of refusals) {
    const answer = await person.ssh(words);
    t.match(answer, { status, stdout: '' }, `${person.name}: ${words}`);
  }

  const mine = await member.ssh('show acme/secret --json');
  t.notMatch(
    mine.stdout,
    /SHA256|127\.0\.0\.1|grants/,
    'and show at read has no keys or addresses',
  );
});

t.test('every filter of audit list holds, alone and with others, through both doors', async (t) => {
  const eve = await house.stranger('eve');
  t.not((await eve.ssh('whoami')).status, 0);
  await member.ssh('show acme/secret');
  await house.stop();
  const db = new Sqlite(join(house.dataDir, 'cpm.db'));
  db.exec(
    `INSERT INTO namespace SELECT 'maya', 'user', owner_id, 0 FROM namespace WHERE name = 'mia'`,
  );
  db.close();
  const monthsAgo = '2025-11-02T10:00:00.000Z';
  addToRecord(join(house.dataDir, 'cpm.db'), 3, (index) => ({
    at: monthsAgo,
    principal: index === 2 ? 'user:maya' : 'user:mia',
    address: ['2001:db8::7', '2001:db8:0:0::/64', '198.51.100.7'][index] ?? '',
    action: 'list',
  }));
  await house.restart();

  for (const { name, run } of doors(house)) {
    const list = async (filters: string) => {
      const answer = await run(['audit', 'list', '--json', ...filters.split(' ')]);
      if (answer.status !== 0) throw new Error(answer.stderr);
      return rowsOf(answer);
    };
    const every = async (filters: string, holds: (row: Row) => boolean) => {
      const rows = await list(filters);
      t.ok(rows.length > 0 && rows.every(holds), `${name}: ${filters}: ${rows.length}`);
      return rows;
    };
    const known = ['user:mia', 'user:maya'];
    const mias = await every('--user mia', ({ principal }) => known.includes(principal));
    t.ok(
      mias.some(({ principal }) => principal === 'user:maya'),
      'under an earlier name too',
    );
    await every(`--key ${owner.key.fingerprint}`, ({ key }) => key === owner.key.fingerprint);
    await every('--action init', ({ action, outcome }) => action === 'init' && outcome === 'ok');
    await every('--action sign-in --user olga', ({ action }) => action === 'sign-in');
    await every('--until 2026-01-01', ({ at }) => at === monthsAgo);
    await every('--until 2026-01-01 --user mia', ({ at }) => at === monthsAgo);
    await every(
      '--since 1d --action show',
      ({ action, at }) => action === 'show' && at > monthsAgo,
    );
    await every('--since 1d --user mia --repo acme/secret', ({ at }) => at > monthsAgo);
    t.equal((await list('--limit 2')).length, 2);
    t.strictSame(await list('--user nobody-ever'), []);
    t.strictSame(await list('--until 2020-01-01'), []);
    t.strictSame(await list('--user mia --action init'), []);

    const here = await list('--address 127.0.0.1');
    const isDenied = ({ address, outcome }: Row) =>
      address === '127.0.0.0/24' && outcome === 'denied';
    t.ok(here.some(({ address }) => address === '127.0.0.1'));
    t.match(here.find(isDenied)?.detail, { attempts: 1, fingerprints: [eve.key.fingerprint] });
    t.ok(here.every((row) => row.address === '127.0.0.1' || isDenied(row)));
    await every('--address 127.0.0.0/24', isDenied);
    for (const written of ['2001:db8::7', '2001:DB8:0:0:0::7']) {
      const found = await list(`--address ${written}`);
      t.strictSame(
        found.map(({ address }) => address),
        ['2001:db8:0:0::/64', '2001:db8::7'],
        'one address in any spelling, and its network',
      );
    }

    const newest = await list('--limit 500');
    const numbers = newest.map(({ seq }) => seq);
    t.strictSame(
      numbers,
      [...numbers].sort((a, b) => b - a),
      'newest first',
    );
  }
  for (const bad of [
    '--limit 0',
    '--address nowhere',
    '--address 10.0.0.0/8',
    '--since sometime',
    '--key SHA256:short',
    '--user No_Name',
  ]) {
    t.match(
      await house.admin.ssh(['audit', 'list', ...bad.split(' ')]),
      { status: 2, stdout: '' },
      bad,
    );
  }
});

t.test('what is exported is the chain itself, and a kept head checks it later', async (t) => {
  for (const { name, run: ask } of doors(house)) {
    const exported = await ask(['audit', 'export']);
    t.match(exported, { status: 0, stderr: '' }, name);
    const rows = linesOf(exported);
    let previous = '0'.repeat(64);
    for (const [index, { hash, ...row }] of rows.entries()) {
      const { seq, ...columns } = row;
      const text = JSON.stringify([previous, seq, ...Object.values(columns)]);
      previous = createHash('sha256').update(text).digest('hex');
      if (seq !== index + 1 || hash !== previous) t.fail(`row ${seq} does not fit`);
    }
    const verified = await ask(['audit', 'verify', '--json']);
    const found = JSON.parse(verified.stdout);
    t.match(found, { ok: true, first_bad: null });
    t.ok(found.rows > rows.length);
    const head = `${rows.at(-1)?.['seq']}:${previous}`;
    t.match(await ask(['audit', 'verify', '--head', head]), { status: 0 });
    const wrong = `${rows.length}:${'a'.repeat(64)}`;
    const answer = await ask(['audit', 'verify', '--head', wrong, '--json']);
    t.equal(answer.status, 7);
    t.match(JSON.parse(answer.stdout), { ok: false, first_bad: rows.length });
  }
  for (const bad of ['verify --head 1', 'verify --head 1:abc', 'export x', 'export --dry-run']) {
    t.match(await house.admin.ssh(`audit ${bad}`), { status: 2, stdout: '' }, bad);
  }
  const path = join(house.dataDir, 'cpm.db');
  t.match(await run(process.execPath, [verifier, path]), { status: 0 }, 'while the server runs');
});

t.test('S28 a server signs heads for its journal, and drops what audit.keep tells', async (t) => {
  await house.stop();
  const [, head = '', at = '', signature = ''] =
    /"head":"([^"]+)","at":"([^"]+)","signature":"([^"]+)"/.exec(house.stderr) ?? [];
  const signers = join(house.folder, 'signers');
  const file = join(house.folder, 'signature');
  const key = readFileSync(join(house.dataDir, 'keys/sign_ed25519.pub'), 'utf8');
  writeFileSync(signers, `cpm ${key}`);
  writeFileSync(file, JSON.parse(`"${signature}"`));
  const words = ['-Y', 'verify', '-f', signers, '-I', 'cpm', '-n', 'cpm-audit', '-s', file];
  const stdin = `cpm audit head ${head} ${at}\n`;
  t.match(await run('ssh-keygen', words, { stdin }), { status: 0 });
  t.match(await house.operator(`audit verify --head ${head}`), { status: 0 }, 'no server runs');
  const before = linesOf(await house.operator('audit export'));
  const monthsAgo = before.filter((row) => String(row['at']) < '2026-01-01');
  t.equal(monthsAgo.length, 6);

  writeFileSync(join(house.folder, 'config.yaml'), 'audit:\n  keep: 1s\n');
  await house.restart();

  const exported = await house.admin.ssh('audit export');
  const [first] = linesOf(exported);
  t.ok(Number(first?.['seq']) > before.length / 2, 'what is older than a second is gone');
  t.match(
    exported.stderr,
    /^rows up to \d+ were dropped; the chain goes on from \d+:[0-9a-f]{64}$/m,
  );
  const verified = await house.admin.ssh('audit verify --json');
  t.match(JSON.parse(verified.stdout), { ok: true });
  const shown = rowsOf(
    await house.admin.ssh(['audit', 'list', '--action', 'audit keep', '--json']),
  );
  t.match(shown, [{ principal: 'operator', outcome: 'ok', detail: { rows: Number } }]);
  const old = await house.admin.ssh(`audit verify --head 1:${'a'.repeat(64)}`);
  t.match(old, { status: 3, stderr: /audit.keep/ });

  await house.stop();
  chmodSync(join(house.dataDir, 'keys/sign_ed25519'), 0o640);
  await t.rejects(house.restart(), { message: /hint: run: chmod 600/ });
});

t.test('a read that a crash cut off is in the record of its repository', async (t) => {
  const house = await House.open(t);
  await house.operator('init ada/app');
  const stuck = Follower.ssh(t, house, {
    person: house.admin,
    words: "git-upload-pack 'app'",
    reads: false,
  });
  const list = 'audit list --action git-upload-pack --json';
  // What is read in the record is on disk: a read's row may be late by 100 ms.
  const isThere = async () => rowsOf(await house.operator(list)).length > 0;
  const signal = AbortSignal.timeout(20_000);
  while (!(await isThere())) signal.throwIfAborted();

  await house.kill();
  await house.restart();

  await stuck.ended;
  const rows = rowsOf(await house.operator(`${list} --repo ada/app`));
  t.match(rows, [{ principal: 'user:ada', target: 'app', outcome: 'interrupted' }]);
});
