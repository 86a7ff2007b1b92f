import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import { type Entrance, House } from './support/house.ts';
import { type Answer, run } from './support/process.ts';
import { findProgram } from './support/program.ts';
import { exec, signIn } from './support/raw.ts';

const house = await House.open(t, { shares: true });
const { admin } = house;
await admin.ssh('init app');
await admin.ssh('org create acme');

/** Words that are no name of anything, and what the answer says of them. */
const badNames: readonly (readonly [word: string, why: RegExp])[] = [
  ['../x', /is not a repository name/],
  ['..', /is not a repository name/],
  ['.', /is not a repository name/],
  ['a/../../b', /it has more than one slash/],
  ['a/..', /it must be 1 to 63/],
  ['../../../../etc/passwd', /it has more than one slash/],
  ['//etc/passwd', /is not a repository name/],
  ['a//b', /it has more than one slash/],
  ['~root/x', /it must be 1 to 63/],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell would replace it
  ['-oProxyCommand=touch${IFS}x', /is no flag of cpm|is not a repository name/],
  ['--upload-pack=touch x', /is no flag of cpm|is not a repository name/],
  ['-x/y', /is no flag of cpm|is not a repository name/],
  ['x/-y', /it must be 1 to 63/],
  ["a'b", /it must be 1 to 63/],
  ['a"b', /it must be 1 to 63/],
  ['a`id`', /it must be 1 to 63/],
  ['$(id)', /it must be 1 to 63/],
  ['a;id', /it must be 1 to 63/],
  ['a|id', /it must be 1 to 63/],
  ['a b', /it must be 1 to 63/],
  ['a\\b', /it must be 1 to 63/],
  ['a\nb', /it must be 1 to 63/],
  ['a\n', /it must be 1 to 63/],
  ['a\tb', /it must be 1 to 63/],
  ['App', /capitals are not allowed/],
  ['ADA/app', /capitals are not allowed/],
  ['ada/App', /capitals are not allowed/],
  ['a/b/c', /it has more than one slash/],
  ['x.git.git', /it must not end in \.git or \.lock/],
  ['x.lock', /it must not end in \.git or \.lock/],
  ['x.lock.git', /it must not end in \.git or \.lock/],
  ['x.git/y', /it must not end in \.git or \.lock/],
  ['.git', /it must be 1 to 63/],
  ['.hidden', /it must be 1 to 63/],
  ['_x', /it must be 1 to 63/],
  ['a..b', /"\.\." is not allowed/],
  ['a'.repeat(64), /it must be 1 to 63/],
  ['é', /it must be 1 to 63/],
  ['аpp', /it must be 1 to 63/],
  ['a\u202eb', /it must be 1 to 63/],
  ['a\u2028b', /it must be 1 to 63/],
  ['%2e%2e', /it must be 1 to 63/],
  ['a:b', /it must be 1 to 63/],
  ['ada/app@{0}', /it must be 1 to 63/],
  ['a*b', /it must be 1 to 63/],
];

/** Control characters, which over SSH are refused before anything else. */
const controls = ['a\x1b[31mb', '\x1b]0;title\x07', 'a\rb', 'a\x7fb', 'a\x08b', '\x1b', 'a\u009bb'];

/** What a terminal would obey: all of it is shown escaped, wherever it comes from. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const raw = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

const shape = /^cpm: [^\n]+\n(hint: [^\n]+\n)?$/;

function isRefused(t: Test, what: string, answer: Answer, why: RegExp = /./): void {
  const { status, stdout, stderr } = answer;
  const isRight =
    status === 2 && stdout === '' && why.test(stderr) && shape.test(stderr) && !raw.test(stderr);
  if (!isRight) t.fail(`${what}: ${JSON.stringify(stderr.slice(0, 300))}`, { status, stdout });
}

/** Everything that a refused word must not touch. */
function state(): unknown {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'), { readonly: true });
  const tables = ['namespace', 'user', 'org', 'repository', 'ssh_key', 'access_grant', 'change'];
  const rows = tables.map((table) => db.prepare(`SELECT count(*) AS n FROM ${table}`).get());
  db.close();
  const folders = ['repositories', 'trash', 'incoming', 'keys', 'hooks.d'];
  const files = folders.map((folder) =>
    readdirSync(join(house.dataDir, folder), { recursive: true, encoding: 'utf8' }).sort(),
  );
  return { rows, files, home: readdirSync(house.folder).sort() };
}

const before = state();
const untouched = (t: Test) => t.same(state(), before, 'nothing was made, on disk or on record');

/** Runs a case for each word, a few at a time. */
async function each<T>(words: readonly T[], work: (word: T) => Promise<unknown>): Promise<void> {
  const left = [...words];
  const worker = async () => {
    for (let word = left.shift(); word !== undefined; word = left.shift()) await work(word);
  };
  await Promise.all([worker(), worker(), worker()]);
}

/** What is too long ends its connection, which is to be no one else's. */
function askOverSsh(words: readonly string[]): Promise<Answer> {
  const isLong = words.some((word) => word.length > 10_000);
  return admin.ssh(words, isLong ? { options: ['-o', 'ControlPath=none'] } : {});
}

/** Every way in, and which part of the words goes through it: a process for each word takes its time. */
const doors: readonly (Entrance & { readonly nth: number })[] = [
  { name: 'ssh', run: askOverSsh, nth: 1 },
  { name: 'the local socket', run: (words) => house.operator(words), nth: 1 },
  { name: 'cpm', run: (words) => house.command(words), nth: 20 },
];

function sampled<T>(words: readonly T[], { nth }: { readonly nth: number }): readonly T[] {
  return words.filter((_, at) => at % nth === 0);
}

const shown = (word: string) => JSON.stringify(word.length > 60 ? `${word.slice(0, 60)}…` : word);

for (const door of doors) {
  t.test(`through ${door.name}, what is no repository name names none`, async (t) => {
    await each(sampled(badNames, door), async ([word, why]) => {
      for (const words of [
        ['init', word],
        ['show', word],
        ['repo', 'set', word, '--description', 'd'],
      ]) {
        isRefused(t, `${words[0]} ${shown(word)}`, await door.run(words), why);
      }
    });
    untouched(t);
  });

  t.test(`through ${door.name}, what is no name is no user and no organization`, async (t) => {
    const reserved = ['cpm', 'git', 'root', 'nobody', 'operator', 'anonymous'];
    const words = [...badNames.map(([word]) => word), 'a/b', ...reserved];
    await each(sampled(words, door), async (word) => {
      isRefused(t, `user add ${shown(word)}`, await door.run(['user', 'add', word]));
      isRefused(t, `org create ${shown(word)}`, await door.run(['org', 'create', word]));
    });
    for (const word of sampled(reserved, door)) {
      t.match(await door.run(['org', 'create', word]), { stderr: `"${word}" is a reserved name` });
    }
    untouched(t);
  });

  t.test(`through ${door.name}, control characters are refused and shown escaped`, async (t) => {
    await each(sampled(controls, door), async (word) => {
      for (const words of [
        ['init', word],
        ['user', 'add', word],
        ['init', 'other', '--description', word],
        ['repo', 'set', 'app', '--description', word],
        ['sshkey', 'list', '--user', word],
        ['repo', 'access', 'grant', 'app', word, 'read'],
        ['list', word],
        ['help', word],
        [word],
        [`--${word}`],
        ['audit', 'list', '--since', word],
        ['user', 'add', 'zoe', '--email', word],
      ]) {
        isRefused(t, JSON.stringify(words), await door.run(words));
      }
    });
    untouched(t);
  });

  t.test(`through ${door.name}, an argument of 100 KB is an answer, not an end`, async (t) => {
    const long = 'a'.repeat(100_000);
    for (const words of [
      ['init', long],
      ['init', 'other', '--description', long],
      ['user', 'add', long],
      [long],
      ['list', `${'*'.repeat(100_000)}`],
      ['show', `${'../'.repeat(33_000)}x`],
      [`--${long}`],
    ]) {
      const answer = await door.run(words);
      isRefused(t, `${words[0]?.slice(0, 20)} with 100 KB`, answer);
      if (answer.stderr.length > 1000) t.fail(`an answer of ${answer.stderr.length} characters`);
    }
    t.match(await door.run(['whoami']), { status: 0 }, 'and the next command works');
    untouched(t);
  });
}

t.test('both doors say the same to the same words', async (t) => {
  await each(badNames, async ([word]) => {
    const words = ['show', word];
    const [one, other] = await Promise.all([admin.ssh(words), house.operator(words)]);
    const same = one.status === other.status && one.stderr === other.stderr;
    if (!same) t.fail(JSON.stringify(words), { ssh: one.stderr, local: other.stderr });
  });
  untouched(t);
});

t.test('what looks like an option is one to nobody: not to ssh, git or us', async (t) => {
  for (const word of ['-oProxyCommand=touch x', '--upload-pack=touch x', '-u', '--exec=x', '-c']) {
    for (const program of ['git-upload-pack', 'git-receive-pack', 'git-upload-archive']) {
      for (const words of [
        [program, word],
        [program, word, 'ada/app'],
        [program, 'ada/app', word],
      ]) {
        const answer = await admin.ssh(words);
        if (answer.status !== 2 || raw.test(answer.stderr)) t.fail(JSON.stringify(words), answer);
      }
    }
    t.match(await admin.ssh(['show', '--', word]), {
      status: 2,
      stderr: /is not a repository name/,
    });
    t.match(await house.command(['show', '--', word]), { status: 2 });
  }
  untouched(t);
});

t.test('git clients: a bad path is told, clone and push alike, and makes nothing', async (t) => {
  const work = await admin.worktree();
  const made = state();
  await each(badNames, async ([word]) => {
    // As git's own clients quote a path: what the server gets is the word itself.
    for (const program of ['git-upload-pack', 'git-receive-pack', 'git-upload-archive']) {
      const answer = await admin.ssh([program, word], { stdin: '' });
      const said = answer.stdout + answer.stderr;
      const isRight = answer.status === 2 && /is not a repository name/.test(said);
      if (!isRight || raw.test(answer.stderr)) t.fail(`${program} ${shown(word)}`, answer);
    }
  });
  for (const path of ['../x', 'a/../../b', '-oProxyCommand=x', 'ada/App', 'x.lock', 'a/b/c']) {
    const url = `ssh://cpm@127.0.0.1:${house.port}/${path}`;
    const clone = await admin.git(['clone', '-q', url, 'hostile']);
    const push = await admin.git(['push', '-q', url, 'main'], { cwd: work });
    for (const answer of [clone, push]) {
      t.match(answer, { status: 128 }, path);
      t.match(answer.stderr, /^fatal: remote error: cpm: ".*" is not a repository name/);
    }
  }
  t.same(state(), made);
});

t.test('a reserved name is taken by nobody who pushes', async (t) => {
  const work = await admin.worktree('reserved');
  for (const name of ['cpm', 'git', 'root', 'nobody', 'operator', 'anonymous']) {
    const push = await admin.git(['push', admin.url(`${name}/app`), 'main'], { cwd: work });
    t.match(push, { status: 128, stderr: /no such repository, or not yours to see/ }, name);
  }
  untouched(t);
});

t.test('NUL, bytes that are no UTF-8, second lines: a raw client is told', async (t) => {
  const client = await signIn(house, admin);
  const cases: readonly (readonly [bytes: Buffer, why: RegExp])[] = [
    [Buffer.from('init a\0b'), /a control character in it \(0x00\)/],
    [Buffer.from('\0'), /a control character in it \(0x00\)/],
    [Buffer.from("git-upload-pack 'app\0.git'"), /a control character in it \(0x00\)/],
    [Buffer.from([0x69, 0x6e, 0x69, 0x74, 0x20, 0xff, 0xfe]), /is not valid UTF-8/],
    [Buffer.from("git-receive-pack 'a\xff'", 'latin1'), /is not valid UTF-8/],
    [Buffer.from([0xed, 0xa0, 0x80]), /is not valid UTF-8/],
    [Buffer.from([0xc0, 0xaf]), /is not valid UTF-8/],
    [Buffer.from('init a\ninit b'), /more than one line/],
    [Buffer.from('init a\r\n'), /a control character in it \(0x0d\)/],
    [Buffer.from("init 'a"), /an open quote \('\)/],
    [Buffer.from('init "a'), /an open quote \("\)/],
    [Buffer.from('init a\\'), /ends with a backslash/],
    [Buffer.from('\x1b[2Jinit a'), /a control character in it \(0x1b\)/],
  ];
  for (const [bytes, why] of cases) {
    const { status, stdout, stderr } = await exec(client, bytes);
    const answer = { status: status ?? -1, stdout: stdout.toString(), stderr, bytes: stdout };
    isRefused(t, JSON.stringify(bytes.toString('latin1')), answer, why);
  }
  t.match(await exec(client, 'whoami'), { status: 0 }, 'the same connection goes on');
  client.destroy();
  untouched(t);
});

t.test('bytes that are no UTF-8 name nothing at the local door either', async (t) => {
  const { command } = findProgram();
  // A shell, for Node gives no program such an argument.
  const script = 'exec "$@" "$(printf \'a\\377\\376b\')"';
  const env = { HOME: house.folder, CPM_DATA_DIR: house.dataDir };
  for (const words of [['init'], ['show'], ['user', 'add']]) {
    isRefused(
      t,
      words.join(' '),
      await run('sh', ['-c', script, 'sh', ...command, ...words], { env }),
    );
  }
  untouched(t);
});

t.test(
  'S17 a pattern of nothing but stars is answered at once, and others meanwhile',
  async (t) => {
    const began = Date.now();
    const patterns = [`${'*a'.repeat(99)}*b`, '*'.repeat(200), `${'?*'.repeat(99)}/`];

    const all = await Promise.all(
      [...patterns, ...patterns].map((pattern) => admin.ssh(['list', pattern, '--json'])),
    );
    const other = await admin.ssh('whoami');

    for (const { status } of all) t.equal(status, 0);
    t.equal(other.status, 0);
    t.ok(Date.now() - began < 5000, `within ${Date.now() - began} ms`);
    t.match(await admin.ssh(['list', '*'.repeat(201)]), { status: 2 }, 'and its length has an end');
  },
);

t.test('the record has every hostile word, and shows none of it raw', async (t) => {
  const text = await admin.ssh('audit list --limit 5000');
  const json = await admin.ssh('audit list --limit 5000 --json');

  t.match(text, { status: 0 });
  t.notOk(raw.test(text.stdout), 'as a table');
  t.notOk(raw.test(json.stdout), 'as JSON');
  const rows: { outcome: string; detail: { message?: string } }[] = JSON.parse(json.stdout);
  const lines = text.stdout.trimEnd().split('\n');
  t.ok(rows.length > 300);
  t.same(
    lines.filter((line) => !/^\d+\s+\d{4}-\d\d-\d\dT/.test(line)),
    [],
    'one line for each request',
  );
  t.ok(rows.some(({ detail }) => detail.message?.includes('"a\\x0ab" is not a repository')));
  t.match(await house.operator('audit verify'), { status: 0 });
  t.notOk(raw.test(house.stderr), 'nor does the log');
});
