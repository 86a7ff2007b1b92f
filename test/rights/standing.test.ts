import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { House } from '../support/house.ts';
import { generateKey, type Person } from '../support/person.ts';
import { type Answer, cleanEnv } from '../support/process.ts';

const house = await House.open(t);
const { admin } = house;

/** One connection that stays open: each question is an exec on it. */
async function connect(t: Test, person: Person) {
  const path = join(person.home, 'cm');
  const settings = ['ControlMaster=yes', `ControlPath=${path}`, 'PermitLocalCommand=yes'];
  const master = spawn(
    'ssh',
    [
      ...person.sshOptions(),
      ...[...settings, 'LocalCommand=echo open'].flatMap((setting) => ['-o', setting]),
      ...['-N', '-p', String(house.port), 'cpm@127.0.0.1'],
    ],
    { env: cleanEnv({ HOME: person.home }), stdio: ['ignore', 'pipe', 'ignore'] },
  );
  t.teardown(() => master.kill());
  const closed = new Promise<void>((resolve) => master.once('close', () => resolve()));
  await once(master.stdout, 'data', { signal: AbortSignal.timeout(60_000) });
  const options = ['-o', `ControlPath=${path}`, '-o', 'ControlMaster=no'];
  return {
    ask: (words: string) => person.ssh(words, { options }),
    isOpen: () => master.exitCode === null,
    closed,
  };
}

async function done(answer: Promise<Answer>): Promise<string> {
  const { status, stdout, stderr } = await answer;
  if (status !== 0) throw new Error(`status ${status}: ${stdout}${stderr}`);
  return stdout;
}

/** Changes a row as no command does: nobody tells the running connections of it. */
function byHand(sql: string, ...values: readonly string[]): void {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'));
  db.prepare(sql).run(...values);
  db.close();
}

t.test('S2 a right given or taken counts from the next exec on an open connection', async (t) => {
  const ana = await house.person('ana');
  await done(admin.ssh('init ada/app'));
  const line = await connect(t, ana);

  t.match(await line.ask('show ada/app'), { status: 3 });
  await done(admin.ssh('repo access grant ada/app ana read'));
  t.match(await line.ask('show ada/app'), { status: 0, stdout: /you have: read/ });
  t.match(await line.ask('repo set ada/app --description x'), { status: 4 });
  await done(admin.ssh('repo access grant ada/app ana admin'));
  t.match(await line.ask('repo set ada/app --description x'), { status: 0 });
  await done(admin.ssh('repo access revoke ada/app ana'));
  t.match(await line.ask('repo set ada/app --description y'), { status: 3 });
  await done(admin.ssh('repo set ada/app --visibility internal'));
  t.match(await line.ask('show ada/app'), { status: 0, stdout: /you have: read/ });
  t.ok(line.isOpen(), 'all on one connection');
});

t.test('S2 key and user are looked at anew for each exec, not once per connection', async (t) => {
  const bo = await house.person('bo');
  const line = await connect(t, bo);
  const { fingerprint } = bo.key;

  byHand(
    'UPDATE ssh_key SET expires_at = ? WHERE fingerprint = ?',
    '2026-01-31T10:00:00.000Z',
    fingerprint,
  );
  t.match(await line.ask('whoami'), {
    status: 4,
    stdout: '',
    stderr: `cpm: key ${fingerprint} ended on 2026-01-31\n`,
  });
  byHand(
    'UPDATE ssh_key SET expires_at = NULL, revoked_at = ? WHERE fingerprint = ?',
    '2026-01-31T10:00:00.000Z',
    fingerprint,
  );
  t.match(await line.ask('list'), {
    status: 4,
    stdout: '',
    stderr: /^cpm: key SHA256:\S+ is revoked$/m,
  });
  byHand('UPDATE ssh_key SET revoked_at = NULL WHERE fingerprint = ?', fingerprint);
  byHand("UPDATE user SET state = 'disabled' WHERE name = ?", 'bo');
  t.match(await line.ask('init x'), { status: 4, stderr: 'cpm: the account bo is disabled\n' });
  byHand("UPDATE user SET state = 'active' WHERE name = ?", 'bo');
  t.match(await line.ask('whoami'), { status: 0 });
  t.ok(line.isOpen(), 'all on one connection');
});

t.test('S2 a key revoked elsewhere: its connection is closed and it opens no other', async (t) => {
  const cy = await house.person('cy');
  const line = await connect(t, cy);
  t.match(await line.ask('whoami'), { status: 0 });
  const second = await generateKey(join(cy.home, 'second'));
  await done(admin.ssh('sshkey add - --user cy', { stdin: `${second.line}\n` }));

  await done(admin.ssh(`sshkey revoke ${cy.key.fingerprint} --yes`));
  const revokedAt = Date.now();

  // Until its client has left, an exec on it is told why; then there is no way in.
  const next = await line.ask('whoami');
  t.equal(next.stdout, '');
  t.match(next.stderr, next.status === 4 ? 'cpm: the key was revoked\n' : /Permission denied/);
  t.ok([4, 255].includes(next.status), `status ${next.status}`);
  await line.closed;
  t.ok(Date.now() - revokedAt < 2000, 'within a second, and what the client takes to go');
  t.match(await cy.ssh('whoami'), { status: 255, stdout: '', stderr: /Permission denied/ });
  const other = await cy.ssh('whoami', {
    options: ['-o', 'IdentityFile=none', '-i', second.privatePath],
  });
  t.match(other, { status: 0, stdout: new RegExp(`^cy\nkey: ${escaped(second.fingerprint)} `) });
});

t.test('S3 test 13: a key with an end puts none in force that lasts longer', async (t) => {
  const flo = await house.stranger('flo');
  await done(admin.ssh('user add flo --admin'));
  const own = { stdin: `${flo.key.line}\n` };
  await done(admin.ssh('sshkey add - --user flo --expires 2d', own));
  const guy = await house.person('guy');
  const key = async (name: string) => {
    const { line, fingerprint } = await generateKey(join(flo.home, name));
    return { fingerprint, sent: { stdin: `${line}\n` } };
  };
  const other = await key('other');
  const pending = await key('pending');
  const tooLong = {
    status: 4,
    stderr: /^cpm: the key you signed in with ends at .* lasts longer$/m,
  };

  for (const words of ['sshkey add -', 'sshkey add - --user guy', 'user add hal --admin --key -']) {
    t.match(await flo.ssh(words, other.sent), tooLong, words);
    t.match(await flo.ssh(`${words} --dry-run`, other.sent), tooLong, `${words} --dry-run`);
  }
  t.match(await flo.ssh('user add ian'), { status: 0 }, 'a user without a key');
  t.notMatch(await done(admin.ssh('user list')), /hal/);

  await done(guy.ssh('sshkey add -', pending.sent));
  await done(flo.ssh('sshkey add - --user guy --expires 1d', pending.sent));
  const keys: { fingerprint: string; state: string; expires_at: string | null }[] = JSON.parse(
    await done(guy.ssh('sshkey list --json')),
  );
  const held = keys.find(({ fingerprint }) => fingerprint === pending.fingerprint);
  t.match(held, { state: 'active', expires_at: /^2/ }, 'its end is the one that was given');
});

t.test('S5 test 9: who comes after a removed user inherits nothing of theirs', async (t) => {
  const zoe = await house.person('zoe');
  await done(admin.ssh('org create acme'));
  await done(admin.ssh('org member add acme zoe --role admin'));
  await done(admin.ssh('init acme/secret'));
  await done(admin.ssh('init ada/plans'));
  await done(admin.ssh('repo access grant ada/plans zoe admin'));
  t.match(await zoe.ssh('show ada/plans'), { status: 0 });
  const before = await users();

  await done(admin.ssh('user delete zoe --yes'));
  const zed = await house.person('zed');

  const after = await users();
  t.match(before['zoe'], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/);
  t.notOk(Object.values(before).includes(after['zed'] ?? ''), 'an id that nobody had before');
  t.strictSame(
    JSON.parse(await done(zed.ssh('list --json'))).map(named),
    ['ada/app'],
    'the internal one',
  );
  for (const repo of ['acme/secret', 'ada/plans']) {
    t.match(await zed.ssh(`show ${repo}`), { status: 3 });
    t.match(await zed.git(['ls-remote', zed.url(repo)]), {
      status: 128,
      stderr: /not yours to see/,
    });
  }
  t.match(await zed.ssh('init acme/mine'), { status: 4 });
  t.match(await zoe.ssh('whoami'), { status: 255 }, 'and the removed one does not come in');
  t.strictSame(JSON.parse(await done(admin.ssh('repo access list ada/plans --json'))), []);
  t.notMatch(await done(admin.ssh('org member list acme')), /zoe|zed/);

  t.match(await admin.ssh('user add zoe'), { status: 5, stderr: /stays reserved/ });
  t.match(await admin.ssh('org create zoe'), { status: 5, stderr: /stays reserved/ });
  const key = { stdin: `${zoe.key.line}\n` };
  t.match(await admin.ssh('sshkey add - --user zed', key), { status: 5, stderr: /was revoked/ });

  const asked = async (name: string) =>
    JSON.parse(await done(admin.ssh(`audit list --user ${name} --action show --json`)));
  const [old, young] = [await asked('zoe'), await asked('zed')];
  t.strictSame(old.map(told), ['user:zoe show ada/plans ok']);
  t.strictSame(young.map(told).sort(), [
    'user:zed show acme/secret not_found',
    'user:zed show ada/plans not_found',
  ]);
  t.not(old[0].key, young[0].key);
});

async function users(): Promise<Record<string, string>> {
  const all: { name: string; id: string }[] = JSON.parse(await done(admin.ssh('user list --json')));
  return Object.fromEntries(all.map(({ name, id }) => [name, id]));
}

const named = ({ name }: { name: string }) => name;

const told = (row: { principal: string; action: string; target: string; outcome: string }) =>
  `${row.principal} ${row.action} ${row.target} ${row.outcome}`;

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}
