import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { quiet, workers } from '../campaigns/inspect.ts';
import { startGit, startSsh } from '../support/client.ts';
import { doors, House } from '../support/house.ts';
import { asJson, done } from '../support/keys.ts';
import { must, run } from '../support/process.ts';

// Faults that other servers for git have had with what they leave behind, or show; each title names the class.

const house = await House.open(t);
const { admin } = house;
const ana = await house.person('ana');
await done(ana.ssh('init ana/app'));
const work = await ana.worktree();
await done(ana.git(['push', '-q', ana.url('ana/app'), 'main'], { cwd: work }));

const filesOpen = () => readdirSync(`/proc/${house.pid}/fd`).length;

/** Waits for work to begin. */
async function begun(): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  while ((await workers(house.dataDir)).length === 0) signal.throwIfAborted();
}

t.test(
  'class, processes of git that outlive who asked: their group ends with the channel',
  async (t) => {
    const reader = startSsh(t, ana, { port: house.port, command: "git-upload-pack 'ana/app'" });
    const writer = startSsh(t, ana, { port: house.port, command: "git-receive-pack 'ana/app'" });
    const clients = [reader, writer];
    await Promise.all(clients.map((client) => client.says('refs/heads/main')));
    // Which refs there are may be told without a git; objects are its alone.
    const { stdout: oid } = await must('git', ['-C', work, 'rev-parse', 'main']);
    reader.send(Buffer.from(`0032want ${oid.trim()}\n0000`));
    await begun();

    for (const client of clients) client.kill();

    await Promise.all(clients.map(({ ended }) => ended));
    t.same(await quiet(house.dataDir), []);
  },
);

t.test('class, an end of input that is not passed on: git reads it and ends', async (t) => {
  for (const program of ['git-upload-pack', 'git-receive-pack', 'git-upload-archive']) {
    const answer = await ana.ssh(`${program} 'ana/app'`, { stdin: '' });
    t.not(answer.status, 255, `${program} ended by itself: ${answer.stderr}`);
  }
  t.match(await ana.ssh("git-upload-pack 'ana/app'", { stdin: '0000' }), { status: 0 });
  t.same(await quiet(house.dataDir), []);
});

t.test('class, a scanner of host keys that ends the server', async (t) => {
  const { pid } = house;
  for (const types of ['ed25519', 'rsa', 'ecdsa,dsa,rsa,ed25519'])
    await run('ssh-keyscan', ['-T', '5', '-t', types, '-p', String(house.port), '127.0.0.1']);

  const { stdout } = await run('ssh-keyscan', ['-p', String(house.port), '127.0.0.1']);

  const line = readFileSync(join(house.dataDir, 'keys/host_ed25519.pub'), 'utf8').split(' ')[1];
  t.match(stdout, line);
  t.match(await ana.ssh('whoami'), { status: 0 });
  t.equal(house.pid, pid);
  t.notMatch(house.stderr, /uncaught|unhandled/i);
});

t.test('class, files that stay open after each of many short visits', async (t) => {
  const visit = async () => {
    const leaver = startGit(t, ana, { cwd: ana.home, words: ['ls-remote', ana.url('ana/app')] });
    const stranger = await house.stranger(`stranger-${crypto.randomUUID().slice(0, 8)}`);
    leaver.kill();
    await Promise.all([
      leaver.ended,
      stranger.ssh('whoami'),
      ana.ssh('whoami'),
      ana.ssh('nonsense'),
      ana.git(['ls-remote', ana.url('ana/app')]),
      ana.git(['ls-remote', ana.url('ana/none')]),
      ana.git(['push', ana.url('ana/app'), 'main:refs/odd/x'], { cwd: work }),
      house.operator('whoami'),
      house.operator('nonsense'),
    ]);
  };
  await visit();
  t.same(await quiet(house.dataDir), []);
  const before = filesOpen();

  for (let n = 0; n < 3; n++) await visit();

  t.same(await quiet(house.dataDir), []);
  // The last connections may still be on their way out.
  const signal = AbortSignal.timeout(20_000);
  while (filesOpen() > before && !signal.aborted) await ana.ssh('whoami');
  t.ok(filesOpen() <= before, `${filesOpen()} files are open, ${before} were`);
});

t.test('class, a secret that comes to stand in a record, a log or an answer', async (t) => {
  const secret = 'hunter-two';
  const privateKey = readFileSync(ana.key.privatePath, 'utf8');
  const middle = privateKey.split('\n')[2] ?? '';
  t.ok(middle.length > 40);

  for (const { name, run: ask } of doors(house)) {
    const answers = [
      await ask(['init', 'ada/x', `--from=https://ada:${secret}@127.0.0.1/x.git`]),
      await ask(['servers', 'add', 'b', `ssh://cpm:${secret}@b.example`, '--role', 'backup']),
      await ask([`https://ada:${secret}@127.0.0.1/x.git`]),
      await ask(['show', `https://ada:${secret}@127.0.0.1/x.git`]),
      await ask(['sshkey', 'add', '-', '--user', 'ana'], { stdin: privateKey }),
      await ask(['user', 'add', 'zoe', '--key', '-'], { stdin: privateKey }),
    ];
    for (const { status, stdout, stderr } of answers) {
      t.equal(status, 2, `${name}: ${stderr}`);
      t.notMatch(stdout + stderr, secret);
      t.notMatch(stdout + stderr, middle.slice(0, 20));
    }
  }
  const record = (await done(admin.ssh('audit export'))) + (await done(admin.ssh('events')));
  for (const text of [record, house.stderr]) {
    t.notMatch(text, secret);
    t.notMatch(text, middle.slice(0, 20));
  }
  const database = Buffer.concat(
    ['', '-wal'].map((end) => readFileSync(join(house.dataDir, `cpm.db${end}`))),
  );
  t.notOk(database.includes(secret) || database.includes(middle), 'nor is it in the database');
});

t.test(
  'class, a list of keys on disk that falls behind: there is none but the database',
  async (t) => {
    const [, blob = ''] = ana.key.line.split(' ');
    const found = await run('grep', ['-rlF', blob, house.dataDir]);

    t.same(
      found.stdout.split('\n').filter((path) => path !== '' && !/\/cpm\.db(-wal)?$/.test(path)),
      [],
    );
  },
);

t.test('class, escapes of a terminal in names, titles, descriptions and messages', async (t) => {
  const [esc, bell, csi, turn] = ['\x1b[31m', '\x07', '\x9b31m', '\u202e'];
  const odd = `a${esc}b${bell}c${csi}d${turn}e`;
  const guest = await house.stranger('guest');
  const [type, blob] = guest.key.line.split(' ');
  const stdin = `${type} ${blob} ${odd}\n`;
  await done(house.operator('sshkey add - --user ana', { stdin }));
  await must('git', ['commit', '-q', '--allow-empty', '-m', odd], { cwd: work, env: ana.gitEnv() });
  const evil = `refs/heads/evil-${csi}${turn}`;
  const pushed = await ana.git(['push', ana.url('ana/app'), `main:${evil}`], { cwd: work });
  t.equal(pushed.status, 0, pushed.stderr);
  for (const { run: ask } of doors(house)) {
    await ask(['repo', 'set', 'ana/app', '--description', odd]);
    await ask(['org', 'create', odd]);
    await ask(['show', odd]);
    await ask([odd]);
  }

  const asked = [
    'show ana/app',
    'list --long',
    'sshkey list --user ana',
    `sshkey show ${guest.key.fingerprint}`,
    'user show ana',
    'audit list --limit 40',
    'repo history ana/app',
    'sessions list',
    'events',
    'status',
    'audit export',
  ];
  for (const { name, run: ask } of doors(house))
    for (const words of asked) {
      const { status, stdout, stderr } = await ask(words.split(' '));
      t.equal(status, 0, words);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      const raw = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]/.exec(stdout + stderr);
      t.equal(
        raw,
        null,
        `${name}: ${words}: ${JSON.stringify(raw?.input.slice(raw.index - 20, raw.index + 9))}`,
      );
    }
  const [greeting, told] = [await guest.ssh([]), await guest.ssh('whoami')];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  t.notMatch(greeting.stdout + told.stdout, /[\x07\x1b\x9b\u202e]/);
  // The log is one JSON object a line, whatever was said.
  for (const line of house.stderr.trim().split('\n')) t.doesNotThrow(() => JSON.parse(line), line);
});

t.test(
  'class, a hidden queue: who waits or is refused reads why, and is not just dropped',
  async (t) => {
    await done(house.operator('config set limits.connections_per_user 1'));
    const first = startSsh(t, ana, { port: house.port, command: 'events --follow' });
    await begunFollowing();

    const second = await ana.ssh('whoami');

    t.match(second, {
      status: 6,
      stdout: '',
      stderr: /^cpm: 1 connections of yours are open\nhint: close some/,
    });
    first.kill();
    await first.ended;
    await done(house.operator('config unset limits.connections_per_user'));
  },
);

async function begunFollowing(): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const rows: { action: unknown }[] = await asJson(house.operator('sessions list --json'));
    if (rows.some(({ action }) => action === 'events')) return;
  }
}
