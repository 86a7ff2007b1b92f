import { rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { doors, House } from '../support/house.ts';
import { must } from '../support/process.ts';

const house = await House.open(t);
const bo = await house.person('bo');

/** The public half of a new key. */
const line = (comment = '') => generateEd25519(comment).publicLine;

const tarOf = async (dir: string) => (await must('tar', ['-C', dir, '-cf', '-', '.'])).bytes;

async function users(): Promise<readonly { name: string; keys: number }[]> {
  const { stdout } = await house.operator('user list --json');
  // When somebody was last seen changes by itself.
  return JSON.parse(stdout).map(({ last_seen_at: _, ...user }: { last_seen_at: string }) => user);
}

/** What must not change when nothing is imported. */
const changes = async () => JSON.stringify(await users());

t.test('over SSH the directory comes as a tar archive on standard input', async (t) => {
  const dir = t.testdir({ 'kim.pub': line(), team: { 'lee@desk.pub': line('lee') } });
  const archive = await tarOf(dir);

  t.match(await bo.ssh('user import -', { stdin: archive }), { status: 4 }, 'a site admin may');
  t.match(await house.admin.ssh(['user', 'import', dir]), { status: 2 }, 'no path of the server');
  const answer = await house.admin.ssh('user import -', { stdin: archive });

  t.match(answer, { status: 0, stdout: /Added 2 users and 2 keys; 0 keys were there already/ });
  t.match(answer.stdout, /lee {2}SHA256:.* {2}team\/lee@desk\.pub/);
  t.match(await house.operator('user import -', { stdin: archive }), {
    status: 0,
    stdout: /Added 0 users and 0 keys; 2 keys were there already/,
  });
});

t.test('every file that is wrong is told at once, and nothing is imported', async (t) => {
  const dir = t.testdir({
    'good.pub': line(),
    'Capital.pub': line(),
    'root.pub': line(),
    '@nobody.pub': line(),
    'two.pub': `${line()}\n${line()}\n`,
    'empty.pub': '',
    'large.pub': 'x'.repeat(20_000),
    'private.pub': generateEd25519('x').privateKey,
    sub: { 'rsa.pub': 'ssh-rsa AAAA' },
  });
  symlinkSync('/etc/passwd', join(dir, 'link.pub'));
  symlinkSync('/etc', join(dir, 'elsewhere'));
  await must('mkfifo', [join(dir, 'pipe')]);
  symlinkSync('/etc', join(dir, '.hidden'));
  writeFileSync(join(dir, 'e\u001b[2Jvil.pub'), line());
  const wrong = [
    'Capital.pub: "Capital" is not a user name: capitals are not allowed',
    'root.pub: "root" is a reserved name',
    '@nobody.pub: "" is not a user name',
    'two.pub: more than one line',
    'empty.pub: no key was given',
    'large.pub: it is no plain file of at most 16 KB',
    'private.pub: this is a private key',
    'sub/rsa.pub: ',
    'link.pub: it is no plain file',
    'elsewhere: it is no plain file',
    'pipe: it is no plain file',
    'e\\x1b[2Jvil.pub: ',
  ];
  const before = await changes();

  for (const { name, run } of doors(house)) {
    const from = name === 'local' ? dir : '-';
    const answer = await run(['user', 'import', from], { stdin: await tarOf(dir) });

    t.equal(answer.status, 2, name);
    for (const fault of wrong) t.ok(answer.stderr.includes(fault), `${name}: ${fault}`);
    t.notMatch(answer.stderr, /good\.pub|PRIVATE KEY|hidden/);
    t.notOk(answer.stderr.includes('\u001b'));
  }
  t.equal(await changes(), before);
});

t.test('keys and names that are taken are told at once, and nothing is imported', async (t) => {
  await house.operator('org create taken');
  await house.operator('user add gone');
  await house.operator('user delete gone --yes');
  const revoked = await house.stranger('revoked');
  await house.operator(['sshkey', 'add', revoked.key.publicPath, '--user', 'bo']);
  await house.operator(`sshkey revoke ${revoked.key.fingerprint} --yes`);
  const same = line();
  const dir = t.testdir({
    'good.pub': line(),
    'taken.pub': line(),
    'gone.pub': line(),
    'mallory.pub': bo.key.line,
    'bo@old.pub': revoked.key.line,
    'twin1.pub': same,
    'twin2.pub': same,
  });
  const before = await changes();

  const answer = await house.admin.ssh('user import -', { stdin: await tarOf(dir) });

  t.equal(answer.status, 5);
  for (const fault of [
    'taken.pub: org taken exists already',
    'gone.pub: the name gone belonged to a user before and stays reserved',
    /mallory\.pub: key SHA256:\S+ is in use already/,
    /bo@old\.pub: key SHA256:\S+ was revoked and is never accepted again/,
    /twin2\.pub: key SHA256:\S+ is in use already/,
  ]) {
    t.match(answer.stderr, fault);
  }
  t.equal(await changes(), before);
  for (const file of ['taken', 'gone', 'mallory', 'bo@old', 'twin2']) {
    rmSync(join(dir, `${file}.pub`));
  }
  t.match(await house.operator(['user', 'import', dir, '--json']), { status: 0 });
});

t.test('what is no archive or no directory is refused', async (t) => {
  t.match(await house.operator('user import nowhere'), { status: 2, stderr: /ENOENT/ });
  for (const stdin of ['', line(), 'x'.repeat(2048)]) {
    t.match(await house.admin.ssh('user import -', { stdin }), {
      status: 2,
      stderr: /no tar archive that can be read/,
    });
  }
});
