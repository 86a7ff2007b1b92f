import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { House } from '../support/house.ts';
import { asJson, done, signatureFor, verifyKey } from '../support/keys.ts';
import { generateKey, Person } from '../support/person.ts';

const dayMs = 86_400_000;

const house = await House.open(t);
const ana = await house.person('ana');

/** Changes a row as only time does. */
function byHand(sql: string, ...values: readonly string[]): void {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'));
  db.prepare(sql).run(...values);
  db.close();
}

/** The same person at another machine, with a key of its own that is not known yet. */
function otherMachine(name: string): Promise<Person> {
  return Person.create(name, join(house.folder, name), { port: () => house.port });
}

t.test('S4 a key for oneself is pending: it neither signs in nor reserves the blob', async (t) => {
  const ned = await house.person('ned');
  const pat = await house.person('pat');
  const next = await otherMachine('next');

  for (const who of [ned, pat]) {
    const added = await asJson(who.ssh('sshkey add - --json', { stdin: next.key.line }));
    t.match(added, { changed: true, state: 'pending' }, who.name);
  }

  t.match(await next.ssh('whoami'), { status: 255 });
  t.match(await asJson(ned.ssh('sshkey add - --json', { stdin: ned.key.line })), {
    changed: false,
    state: 'active',
  });
  t.match(await verifyKey(pat, next.key), { changed: true, state: 'active' });
  t.match(await next.ssh('whoami'), { status: 0, stdout: /^pat\n/ });
  const asked = await ned.ssh(`sshkey verify ${next.key.fingerprint} --json`, { stdin: '' });
  const late = await ned.ssh(`sshkey verify ${next.key.fingerprint}`, {
    stdin: await signatureFor(asked.stdout, next.key),
  });
  t.match(late, { status: 5, stderr: /in use already/ }, 'the other one came too late');
});

t.test('S3 what a revoked key let deploy keys do is taken back', async (t) => {
  const quin = await house.person('quin');
  const [home, ci] = [await otherMachine('quin-home'), await otherMachine('quin-ci')];
  await done(house.operator(['sshkey', 'add', home.key.publicPath, '--user', 'quin']));
  for (const repo of ['quin/a', 'quin/b']) await done(quin.ssh(`init ${repo}`));
  await done(house.operator('sshkey add - --repo quin/a --right read', { stdin: ci.key.line }));
  await done(quin.ssh(`repo access grant quin/b key:${ci.key.fingerprint} write`));
  t.match(await ci.git(['ls-remote', ci.url('quin/b')]), { status: 0 });

  await done(home.ssh(`sshkey revoke ${quin.key.fingerprint} --yes`));

  t.match(
    await ci.git(['ls-remote', ci.url('quin/a')]),
    { status: 0 },
    "the operator's grant stays",
  );
  t.match(await ci.git(['ls-remote', ci.url('quin/b')]), { status: 128 });
});

t.test('whoever ends the key that they signed in with still reads the answer', async (t) => {
  const cy = await house.person('cy');

  const answer = await cy.ssh(`sshkey revoke ${cy.key.fingerprint} --yes`);

  t.match(answer, { status: 0, stdout: /Revoked 1 key/ });
  t.match(await cy.ssh('whoami'), { status: 255 });
});

t.test('S3 a key adds only keys that end no later than itself, by whatever command', async (t) => {
  const dee = await otherMachine('dee');
  await done(house.operator('user add dee --admin'));
  await done(
    house.operator(['sshkey', 'add', dee.key.publicPath, '--user', 'dee', '--expires', '30d']),
  );
  await done(house.operator('init dee/app'));
  const { line, fingerprint } = await generateKey(join(house.folder, 'longer'));
  const refused = { status: 4, stderr: /it can't add one that lasts longer/ };
  const rows = [
    'sshkey add -',
    'sshkey add - --expires 31d',
    'sshkey add - --user ana',
    'sshkey add - --repo dee/app --right read',
    'user add eve --key -',
    `sshkey rotate ${ana.key.fingerprint} --key -`,
    `sshkey rotate ${dee.key.fingerprint} --key - --expires 60d`,
  ];

  for (const words of rows) t.match(await dee.ssh(words, { stdin: line }), refused, words);

  t.match(await house.operator(`sshkey show ${fingerprint}`), { status: 3 }, 'nothing was added');
  t.match(await house.operator('user show eve'), { status: 3 });
  await done(house.operator('sshkey add - --repo dee/app --right read', { stdin: line }));
  const who = `key:${fingerprint}`;
  t.match(await dee.ssh(`repo access grant dee/app ${who} write`), refused, 'nor binds one');
  const shorter = await generateKey(join(house.folder, 'shorter'));
  await done(dee.ssh('sshkey add - --expires 29d', { stdin: shorter.line }));
});

t.test("a new key takes the old one's place with its title, owner and end", async (t) => {
  const fay = await otherMachine('fay');
  await done(house.operator('user add fay'));
  const add = ['sshkey', 'add', fay.key.publicPath, '--user', 'fay', '--title', 'laptop'];
  await done(house.operator([...add, '--expires', '2100-01-01']));
  const next = await otherMachine('fay-next');
  const rotate = ['sshkey', 'rotate', fay.key.fingerprint, '--key', '-', '--json'];

  const pending = await asJson(fay.ssh(rotate, { stdin: next.key.line }));

  t.match(pending, { changed: true, state: 'pending', fingerprint: next.key.fingerprint });
  await done(fay.ssh('whoami'));
  t.match(await next.ssh('whoami'), { status: 255 }, 'S4 not before it is proven');
  await verifyKey(fay, next.key);
  t.match(await fay.ssh('whoami'), { status: 255 }, 'without an overlap the old one ended');
  t.match(await asJson(next.ssh('whoami --json')), {
    user: 'fay',
    key_title: 'laptop',
    key_expires_at: '2100-01-01T00:00:00.000Z',
  });
  const shown = await asJson(next.ssh(`sshkey show ${fay.key.fingerprint} --json`));
  t.match(shown, { state: 'expired', owner: 'fay', public_key: /^ssh-ed25519 AAAA/ });
  t.match(shown.added, [{ fingerprint: next.key.fingerprint, state: 'active' }]);
  t.match(await next.ssh(rotate, { stdin: next.key.line }), { status: 5, stderr: /is expired/ });
});

t.test('with an overlap both keys work until it is over, and then what is open ends', async (t) => {
  const gus = await house.person('gus');
  const next = await otherMachine('gus-next');
  const rotate = ['sshkey', 'rotate', gus.key.fingerprint, '--key', '-', '--overlap', '5s'];
  const target = ['-p', String(house.port), 'cpm@127.0.0.1'];
  // A command that waits for its input is open until somebody ends it.
  const words = [...gus.sshOptions(), '-v', ...target, 'sshkey add -'];
  const open = spawn('ssh', words, { stdio: 'pipe' });
  t.teardown(() => open.kill());
  let said = '';
  open.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.includes('Sending command')) open.emit('asked');
  });
  await once(open, 'asked', { signal: AbortSignal.timeout(20_000) });
  const ended = once(open, 'close', { signal: AbortSignal.timeout(40_000) });
  const told = await asJson(house.admin.ssh([...rotate, '--json'], { stdin: next.key.line }));

  t.match(told, { state: 'active' });
  t.match(await gus.ssh('whoami'), { status: 0 }, 'the old one');
  t.match(await next.ssh('whoami'), { status: 0 }, 'the new one');
  t.strictSame(await ended, [4, null]);
  t.match(said, /another key took the place of this one/);
  t.match(await gus.ssh('whoami'), { status: 255 });
  t.match(await next.ssh('whoami'), { status: 0 });
});

t.test('a deploy key is rotated with what it is bound to', async (t) => {
  await done(house.operator('init ana/app'));
  const [old, next] = [await otherMachine('ci-old'), await otherMachine('ci-new')];
  const add = 'sshkey add - --repo ana/app --right write --refs ci/*';
  await done(house.operator(add, { stdin: old.key.line }));

  const words = `sshkey rotate ${old.key.fingerprint} --key - --json`;
  t.match(await house.admin.ssh(words, { stdin: ana.key.line }), { status: 5 }, 'no key of a user');
  await done(house.admin.ssh(words, { stdin: next.key.line }));

  t.match(await old.ssh('whoami'), { status: 255 });
  const shown = await asJson(ana.ssh(`sshkey show ${next.key.fingerprint} --json`));
  t.match(shown.bindings, [{ on: 'ana/app', right: 'write', refs: 'ci/*' }]);
  const work = await next.worktree();
  t.match(await next.git(['push', next.url('ana/app'), 'main:ci/x', 'main'], { cwd: work }), {
    status: 1,
    stderr: /\[new branch\] +main -> ci\/x[\s\S]*writes only ci\/\*/,
  });
});

t.test('keys that nobody uses are found, the longest unused first', async (t) => {
  const hal = await house.person('hal');
  const idle = await generateKey(join(house.folder, 'idle'));
  await done(house.operator(['sshkey', 'add', idle.publicPath, '--user', 'hal']));
  await done(hal.ssh('whoami'));

  const now = new Date().toISOString();
  const all = await asJson(hal.ssh(`sshkey unused --older ${now} --json`));

  t.equal(all[0].fingerprint, idle.fingerprint, 'his own, the idle one first');
  t.ok(all.every(({ owner }: { owner: string }) => owner === 'hal'));
  t.same(await asJson(hal.ssh('sshkey unused --json')), [], '90 days unless told');
  t.match(await hal.ssh('sshkey unused --user ana'), { status: 4 });
  const everybodys = await asJson(house.admin.ssh(`sshkey unused --older ${now} --json`));
  const owners = new Set(everybodys.map(({ owner }: { owner: string }) => owner));
  t.ok(owners.has('hal') && owners.has('ana'), "a site admin sees everybody's");
  t.match(await house.admin.ssh(`sshkey unused --older ${now} --user hal --json`), {
    stdout: new RegExp(idle.fingerprint.replaceAll('+', '\\+')),
  });
});

t.test('before a key ends its owner is warned, by the greeting and at a terminal', async (t) => {
  const ida = await otherMachine('ida');
  await done(house.operator('user add ida'));
  const add = ['sshkey', 'add', ida.key.publicPath, '--user', 'ida', '--expires', '13d'];
  await done(house.operator(add));
  const warning = /your key ends in 12 days \(20.*sshkey rotate SHA256:/;

  t.match(await ida.ssh([]), { status: 0, stdout: warning });
  t.match(await ida.ssh('list', { options: ['-tt'] }), { status: 0, stderr: warning });
  t.match(await ida.ssh('list'), { status: 0, stdout: '', stderr: '' }, 'not to a script');
  const ana15 = await ana.ssh('list', { options: ['-tt'] });
  t.match(ana15, { status: 0, stderr: '' }, 'not for a key without an end');
});

t.test(
  'a rotated key gets the time that the old one got, within the end of the signing key',
  async (t) => {
    const kay = await otherMachine('kay');
    await done(house.operator('user add kay'));
    await done(house.operator(`sshkey add ${kay.key.publicPath} --user kay --expires 30d`));
    const held = await asJson(house.operator(`sshkey show ${kay.key.fingerprint} --json`));
    byHand(
      'UPDATE ssh_key SET added_at = ?, expires_at = ? WHERE fingerprint = ?',
      new Date(Date.parse(held.added_at) - 25 * dayMs).toISOString(),
      new Date(Date.parse(held.added_at) + 5 * dayMs).toISOString(),
      kay.key.fingerprint,
    );
    const rotate = `sshkey rotate ${kay.key.fingerprint} --key - --json --dry-run`;
    const next = await generateKey(join(house.folder, 'kay-next'));

    const own = await kay.ssh(rotate, { stdin: next.line });
    t.match(own.stderr, /it ends with the key that you signed in with: 20/);

    await done(house.admin.ssh(rotate.replace(' --dry-run', ''), { stdin: next.line }));
    const renewed = await asJson(house.operator(`sshkey show ${next.fingerprint} --json`));
    const days = (Date.parse(renewed.expires_at) - Date.now()) / dayMs;
    t.ok(days > 29 && days < 31, `${days} days`);
  },
);

t.test(
  'before a key ends, git says so too, on stderr, to a person and to a deploy key',
  async (t) => {
    const [lou, bot] = [await otherMachine('lou'), await otherMachine('lou-bot')];
    await done(house.operator('user add lou'));
    await done(house.operator(`sshkey add ${lou.key.publicPath} --user lou --expires 13d`));
    await done(lou.ssh('init app'));
    const bind = 'sshkey add - --repo lou/app --right read --expires 20h';
    await done(house.operator(bind, { stdin: bot.key.line }));
    const work = await lou.worktree();

    const push = await lou.git(['push', '-q', lou.url('app'), 'main'], { cwd: work });
    const clone = await bot.git(['clone', '-q', bot.url('lou/app'), 'copy']);

    t.match(push, { status: 0, stderr: /^your key ends in 12 days \(20.*: sshkey rotate SHA256:/ });
    t.match(clone, { status: 0, stderr: /^this deploy key ends within a day \(20/ });
    t.match(await done(bot.ssh([])), /this deploy key ends within a day/);
    t.equal((await ana.git(['ls-remote', ana.url('ana/app')])).stderr, '', 'a key without an end');
  },
);

t.test("a key of somebody else's is not there, whatever is asked of it", async (t) => {
  const jo = await house.person('jo');
  for (const words of [
    `sshkey show ${ana.key.fingerprint}`,
    `sshkey rotate ${ana.key.fingerprint} --key -`,
    `sshkey revoke ${ana.key.fingerprint} --yes`,
    `sshkey verify ${ana.key.fingerprint}`,
    `sshkey show SHA256:${'A'.repeat(43)}`,
  ]) {
    t.match(
      await jo.ssh(words, { stdin: jo.key.line }),
      { status: 3, stderr: /no such key/ },
      words,
    );
  }
  for (const words of [
    'sshkey show',
    'sshkey show ana',
    'sshkey rotate',
    `sshkey rotate ${jo.key.fingerprint}`,
    `sshkey rotate ${jo.key.fingerprint} --key - --overlap soon`,
    `sshkey rotate ${jo.key.fingerprint} --key /etc/passwd`,
    `sshkey revoke ${jo.key.fingerprint}`,
    `sshkey revoke ${jo.key.fingerprint} --since yesterday --yes`,
    'sshkey unused --older never',
  ]) {
    t.match(await jo.ssh(words, { stdin: jo.key.line }), { status: 2 }, words);
  }
});
