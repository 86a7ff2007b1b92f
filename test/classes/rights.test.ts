import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { asJson, done } from '../support/keys.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';

// Faults that other servers for git have had with sign-in, rights and names; each title names the class.

const house = await House.open(t);
const { admin } = house;
const ana = await house.person('ana');
const eve = await house.person('eve');
await done(ana.ssh('init ana/app'));
await done(ana.ssh('init ana/other'));
const work = await ana.worktree();
await done(ana.git(['push', '-q', ana.url('ana/app'), 'main'], { cwd: work }));

const oidOf = async (ref: string) =>
  (await must('git', ['rev-parse', ref], { cwd: work, env: ana.gitEnv() })).stdout.trim();

t.test(
  'class, a key that was merely offered says who it is: the one that signed does',
  async (t) => {
    // eve offers ana's public key, of which she has no private half, and then signs with her own.
    const options = ['-i', `${ana.key.publicPath}`, '-i', eve.key.privatePath];

    const { stdout } = await eve.ssh('whoami --json', { options });

    t.match(JSON.parse(stdout), { user: 'eve', key: eve.key.fingerprint });
    const [key] = await asJson(house.operator('sshkey list --user ana --json'));
    t.equal(key.last_used_at === null || key.last_used_at < new Date().toISOString(), true);
    const rows = await asJson(house.operator('audit list --action whoami --limit 1 --json'));
    t.match(rows, [{ principal: 'user:eve', key: eve.key.fingerprint }]);
  },
);

t.test(
  'class, a gate of the server that the right to a repository of that name opens',
  async (t) => {
    for (const name of ['user', 'ana', 'config', 'audit', 'eve', 'acme', 'sessions'])
      await done(eve.ssh(`init eve/${name}`));

    for (const words of [
      'user add mallory',
      'user admin eve',
      'user disable ana',
      'user list',
      'sshkey add - --user ana',
      'org create acme --dry-run',
      'config get data_dir',
      'audit list',
      'sessions list',
      'servers list',
      'repo access grant ana/app eve read',
    ]) {
      const { status, stdout } = await eve.ssh(words, { stdin: eve.key.line });
      const open = words.startsWith('org create');
      t.equal(status, open ? 0 : words.startsWith('repo ') ? 3 : 4, words);
      if (!open) t.equal(stdout, '', words);
    }
    t.match(await asJson(house.operator('user show eve --json')), { admin: false });
  },
);

t.test('class, who may write makes others admin: nobody gives more than they have', async (t) => {
  await done(ana.ssh('repo access grant ana/app eve write'));

  for (const words of ['grant ana/app eve admin', 'grant ana/app ada read', 'revoke ana/app ana'])
    t.match(await eve.ssh(`repo access ${words}`), { status: 4 }, words);

  await done(ana.ssh('repo access revoke ana/app eve'));
});

t.test(
  'class, an id of something of others: it means what is asked about, and no more',
  async (t) => {
    await done(eve.ssh('init eve/own'));
    await done(ana.ssh('repo rules add ana/other main --deny force'));
    await done(ana.ssh('repo rules add ana/other "v*" --deny delete'));
    const [request] = await asJson(admin.ssh('sessions list --json'));
    const oid = await oidOf('main');
    const { id } = await asJson(ana.ssh('show ana/other --json'));

    const tries: readonly (readonly [string, number])[] = [
      // Rule 2 is of ana's, and eve's has none.
      ['repo rules remove eve/own 2 --yes', 3],
      ['repo rules remove ana/other 1 --yes', 3],
      [`show ${id}`, 3],
      [`repo access list ${id}`, 3],
      [`repo undo eve/own main --to ${oid} --yes`, 3],
      [`repo history eve/own --purge ${oid} --yes`, 3],
      [`sessions end ${request.id}`, 4],
      [`sshkey show ${ana.key.fingerprint}`, 3],
      [`sshkey revoke ${ana.key.fingerprint} --yes`, 3],
      [`sshkey rotate ${ana.key.fingerprint} --key -`, 3],
      ['repo restore ana/other', 3],
    ];
    for (const [words, status] of tries) {
      const answer = await eve.ssh(words, { stdin: eve.key.line });
      t.match(answer, { status, stdout: '' }, words);
      t.notMatch(answer.stderr, oid.slice(0, 12) === words ? /./ : /rule 1/, words);
    }
    t.equal((await asJson(ana.ssh('repo rules list ana/other --json'))).length, 2);
  },
);

t.test(
  'class, rights that the client chooses by what it says besides: none but the program',
  async (t) => {
    await done(ana.ssh('repo access grant ana/app eve read'));
    const oid = await oidOf('main');
    const zeros = '0'.repeat(40);
    const list = `${zeros} ${oid} refs/heads/evil\0 report-status`;
    const packet = `${(list.length + 4).toString(16).padStart(4, '0')}${list}0000`;
    const env = { GIT_PROTOCOL: 'version=2:service=git-receive-pack' };
    const options = ['-o', 'SendEnv=GIT_PROTOCOL'];

    const reading = await eve.ssh("git-upload-pack 'ana/app'", { stdin: packet, env, options });
    const writing = await eve.ssh("git-receive-pack 'ana/app'", { stdin: packet, env, options });

    t.not(reading.status, 0, 'who reads can not begin to write in the middle');
    t.match(writing, { status: 4, stdout: /ERR cpm: ana\/app: you may read it, not write/ });
    const { stdout } = await ana.git(['ls-remote', ana.url('ana/app')]);
    t.notMatch(stdout, /evil/);
    await done(ana.ssh('repo access revoke ana/app eve'));
  },
);

t.test(
  'class, an import that fetches from where it is told: nothing is connected to',
  async (t) => {
    let connections = 0;
    const trap = createServer((socket) => {
      connections += 1;
      socket.destroy();
    });
    t.teardown(() => trap.close());
    await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
    const { port } = trap.address() as { port: number };
    const mark = join(house.folder, 'was-run');

    for (const { name, run } of doors(house))
      for (const from of [
        `http://127.0.0.1:${port}/x.git`,
        `http://0177.0.0.1:${port}/x.git`,
        `git://[::ffff:127.0.0.1]:${port}/x`,
        `ssh://cpm@127.0.0.1:${port}/x`,
        `127.0.0.1:x`,
        `file://${work}`,
        `ext::sh -c touch% ${mark}`,
        '--upload-pack=touch',
      ]) {
        const answer = await run(['init', 'ada/imported', `--from=${from}`]);
        t.match(answer, { status: 2, stdout: '' }, `${name}: ${from}`);
      }

    t.equal(connections, 0);
    await t.rejects(must('ls', [mark]), 'nor is anything run');
    t.match(await admin.ssh('show ada/imported'), { status: 3 });
  },
);

t.test('class, what is private shown by other ways: each asks the one decision', async (t) => {
  await done(ana.ssh('init ana/secret-plan'));
  await done(
    ana.git(['push', '-q', ana.url('ana/secret-plan'), 'main:secret-branch'], { cwd: work }),
  );
  t.match(await asJson(ana.ssh('show ana/secret-plan --json')), { visibility: 'private' });

  const ways = [
    [],
    ['list'],
    ['list', '*secret*'],
    ['list', '--namespace', 'ana', '--json'],
    ['events', '--since', '0'],
    ['user', 'access', 'eve'],
    ['user', 'can', 'eve', 'read', 'ana/secret-plan'],
    ['show', 'ana/secret-pla'],
    ['show', 'ana/secret-plan', '--json'],
    ['repo', 'history', 'ana/secret-plan'],
    ['repo', 'alias', 'list', 'ana/secret-plan'],
    ['repo', 'trash', 'list'],
    ['audit', 'list', '--repo', 'ana/secret-plan'],
    ['org', 'list'],
    ['help', 'secret-plan'],
    ['merge', 'ana/secret-plan', 'secret-branch'],
  ];
  for (const words of ways) {
    const { stdout, stderr } = await eve.ssh(words);
    const title = words.join(' ') || 'the greeting';
    t.notMatch(stdout, /secret-/, title);
    t.notMatch(stderr.replaceAll(/ana\/secret-plan?:/g, ''), /secret-branch/, title);
  }
  const { stderr } = await eve.git(['ls-remote', eve.url('ana/secret-plan')]);
  const { stderr: missing } = await eve.git(['ls-remote', eve.url('ana/secret-plam')]);
  t.equal(stderr, missing.replaceAll('plam', 'plan'), 'as one that never was');
});

t.test('class, a removed user who stays in until something forgets them', async (t) => {
  const bo = await house.person('bo');
  await done(ana.ssh('repo access grant ana/app bo write'));
  t.match(await bo.git(['ls-remote', bo.url('ana/app')]), { status: 0 });

  await done(house.operator('user delete bo --yes'));

  t.match(await bo.git(['ls-remote', bo.url('ana/app')]), { status: 128, stdout: '' });
  t.match(await bo.ssh('whoami'), { status: 255, stdout: '' });
  t.same(await asJson(ana.ssh('repo access list ana/app --json')), []);
});

t.test(
  'class, a key that is found because it looks alike: one is found by all of it',
  async (t) => {
    const { fingerprint } = ana.key;
    const swapped = fingerprint
      .slice(7)
      .replace(/[a-z]/gi, (char) => (char < 'a' ? char.toLowerCase() : char.toUpperCase()));

    for (const [other, status] of [
      [`SHA256:${swapped}`, 3],
      [`sha256:${fingerprint.slice(7)}`, 2],
      [`${fingerprint}=`, 2],
      ['SHA256:%', 2],
      [`SHA256:${'_'.repeat(43)}`, 2],
      [fingerprint.slice(0, 20), 2],
    ] as const) {
      const answer = await admin.ssh(['sshkey', 'revoke', other, '--yes']);
      t.match(answer, { status, stdout: '' }, other);
    }
    t.match(await ana.ssh('whoami'), { status: 0, stdout: /^ana\n/ });
  },
);

t.test(
  'class, names of refs that git allows and the server does not, or the reverse',
  async (t) => {
    const legal = [
      '100%',
      'ünïcode',
      'a+b=c',
      "it's",
      '#1',
      'x;y',
      'a|b',
      '$(id)',
      '`id`',
      'A&B',
      '-x',
    ];
    const push = (...refs: string[]) =>
      ana.git(['push', '-q', ana.url('ana/other'), ...refs], { cwd: work });

    t.match(await push(...legal.map((name) => `main:refs/heads/${name}`)), {
      status: 0,
      stderr: '',
    });

    const { stdout } = await ana.git(['ls-remote', '--heads', ana.url('ana/other')]);
    const there = stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[1]?.slice(11));
    t.same(there.sort(), [...legal].sort());
    await done(ana.git(['clone', '-q', ana.url('ana/other'), join(ana.home, 'odd')]));
    // One that looks like an option is a name to every command, and to git.
    for (const words of [
      ['merge', 'ana/other', '--output=x'],
      ['merge', 'ana/other', '--', '--exec=touch x'],
      ['merge', 'ana/other', '--', '-x'],
      ['repo', 'set', 'ana/other', '--default-branch=-x'],
      ['repo', 'history', 'ana/other', '--', '-x'],
    ]) {
      const { status, stderr } = await ana.ssh(words);
      t.ok([0, 2, 3, 5].includes(status), `${words.join(' ')}: ${status} ${stderr}`);
      t.notMatch(stderr, /usage: git|unknown (option|switch)/i, words.join(' '));
    }
  },
);

t.test('class, paths that lead out: names are looked up, never joined to a path', async (t) => {
  for (const path of [
    '../ana/app',
    'ana/../../keys/host_ed25519',
    'ana/app/../other',
    '%2e%2e/app',
  ])
    for (const program of ['git-upload-pack', 'git-receive-pack', 'git-upload-archive']) {
      const { status, stdout } = await ana.ssh(`${program} '${path}'`, { stdin: '0000' });
      t.not(status, 0, `${program} ${path}`);
      t.notMatch(stdout, /PRIVATE|refs\//, path);
    }
});

t.test('class, a shorthand of a person that does as somebody else', async (t) => {
  const own = async (who: Person) => (await who.ssh('show app')).status;

  t.equal(await own(ana), 0);
  t.equal(await own(eve), 3, 'a bare name lies in the own namespace');
  await done(eve.ssh('init app'));
  t.match(await asJson(eve.ssh('show app --json')), { name: 'eve/app' });
  t.match(await asJson(ana.ssh('show app --json')), { name: 'ana/app' });
});
