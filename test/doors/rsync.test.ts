import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { emptied } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { type Person, quoteWords } from '../support/person.ts';
import { type Answer, must, run } from '../support/process.ts';
import { startRelay } from '../support/relay.ts';

const house = await House.open(t);
const ada = house.admin;
await ada.ssh('org create acme');
await ada.ssh('init acme/app');
const work = await ada.worktree();
const git = (words: string) => must('git', words.split(' '), { cwd: work, env: ada.gitEnv() });
const live = join(house.dataDir, 'repositories', 'acme', 'app.git');

/** Runs a real rsync client; `:path` is on the server. */
function rsync(person: Person, words: string, port = house.port): Promise<Answer> {
  const ssh = quoteWords(['ssh', ...person.sshOptions(), '-p', String(port)]);
  const args = words
    .split(' ')
    .map((word) => (word.startsWith(':') ? `cpm@127.0.0.1${word}` : word));
  return run('rsync', ['-e', ssh.replaceAll("'", ''), ...args], {
    cwd: person.home,
    env: { HOME: person.home },
  });
}

async function refs(directory: string): Promise<string> {
  const args = ['for-each-ref', 'refs/heads', 'refs/tags', '--format=%(objectname) %(refname)'];
  return (await must('git', ['-C', directory, ...args])).stdout;
}

/** Bytes that a client says it received. */
function received({ stdout }: Answer): number {
  const [, bytes = ''] = /received ([\d,]+) bytes/.exec(stdout) ?? [];
  return Number(bytes.replaceAll(',', ''));
}

async function commit(name: string, kib = 0): Promise<void> {
  writeFileSync(join(work, 'data'), kib > 0 ? randomBytes(kib * 1024) : name);
  await git('add data');
  await git(`commit -q -m ${name}`);
}

const read = '-avz --delete :acme/app.git/ copy.git/';
const copy = join(ada.home, 'copy.git');

t.test('a cron line: a whole repository, then only what changed, then nothing', async (t) => {
  await commit('one', 300);
  await git(`push -q ${ada.url('acme/app')} main main:dev`);

  const first = await rsync(ada, read);
  t.equal(first.status, 0, first.stderr);
  t.equal(await refs(copy), await refs(live));
  await must('git', ['-C', copy, 'fsck', '--strict']);

  for (const round of [1, 2, 3]) {
    await commit(`more-${round}`);
    await git(
      `push -q ${ada.url('acme/app')} main main:b${round} ${round === 2 ? ':dev' : ''}`.trim(),
    );
    const next = await rsync(ada, read);
    t.ok(next.status === 0 && received(next) < 8000, `${next.stdout}${next.stderr}`);
    t.equal(await refs(copy), await refs(live), `round ${round}`);
    await must('git', ['-C', copy, 'fsck', '--strict']);
  }
  await must('git', ['-C', live, 'repack', '-adq']);
  const idle = await rsync(ada, read);
  t.ok(received(idle) < 2000, idle.stdout);
  t.equal(await refs(copy), await refs(live));
  t.strictSame(readdirSync(join(house.dataDir, 'incoming')), []);
  const clone = await ada.git(['clone', '-q', copy, 'from-copy']);
  t.equal(clone.status, 0, clone.stderr);
});

t.test('the same while pushes and repacks run: every copy is whole', async (t) => {
  const stop = new AbortController();
  const pushing = (async () => {
    const other = await ada.worktree('busy');
    const words = ['push', '-q', '-f', ada.url('acme/app'), 'main:busy'];
    for (let at = 0; !stop.signal.aborted; at += 1) {
      await must('git', ['commit', '-q', '--allow-empty', '-m', `busy ${at}`], {
        cwd: other,
        env: ada.gitEnv(),
      });
      await must('git', words, { cwd: other, env: ada.gitEnv() });
      if (at % 3 === 2) await must('git', ['-C', live, 'repack', '-adq']);
    }
  })();
  try {
    for (let round = 0; round < 4; round += 1) {
      const next = await rsync(ada, read);
      t.equal(next.status, 0, next.stderr);
      await must('git', ['-C', copy, 'fsck', '--strict', '--connectivity-only']);
      t.match(await refs(copy), / refs\/heads\/main\n/);
    }
  } finally {
    stop.abort();
    await pushing;
  }
});

t.test('without a slash the folder itself comes; -rtz and a dry run do too', async (t) => {
  t.match(await rsync(ada, '-a :acme/app.git .'), { status: 0 });
  t.equal(await refs(join(ada.home, 'app.git')), await refs(live));
  t.match(await rsync(ada, '-rtz :~/acme/app/ plain.git/'), { status: 0 });
  t.equal(await refs(join(ada.home, 'plain.git')), await refs(live));
  t.match(await rsync(ada, '-avzn --delete :acme/app.git/ none.git/'), { status: 0 });
  t.notOk(existsSync(join(ada.home, 'none.git', 'HEAD')));
});

t.test('who may not read gets the words for what is missing; a deploy key reads', async (t) => {
  const bo = await house.person('bo');
  const hidden = await rsync(bo, '-a :acme/app.git/ copy.git/');
  const missing = await rsync(bo, '-a :acme/apq.git/ copy.git/');
  t.match(hidden, {
    status: 12,
    stdout: '',
    stderr: /cpm: acme\/app: no such repository, or not yours to see/,
  });
  t.equal(hidden.stderr.replaceAll('acme/app', 'acme/apq'), missing.stderr);

  const robot = await house.stranger('robot');
  const words = ['sshkey', 'add', robot.key.publicPath, '--repo', 'acme/app', '--right', 'read'];
  t.match(await house.operator(words), { status: 0 });
  t.match(await rsync(robot, '-a :acme/app.git/ copy.git/'), { status: 0 });
  t.match(await rsync(robot, '-a copy.git/ :acme/app.git/'), { stderr: /may read it, not write/ });
  t.match(await robot.ssh('list'), { status: 4 });
});

/** A bare copy to change and send. */
async function bare(name: string): Promise<{ path: string; git(words: string): Promise<Answer> }> {
  const path = join(ada.home, name);
  await must('git', ['clone', '-q', '--mirror', ada.url('acme/app'), path], { env: ada.gitEnv() });
  const change = (words: string) =>
    must('git', ['-C', path, ...words.split(' ')], { env: ada.gitEnv() });
  return { path, git: change };
}

t.test(
  'writing is a push: forward, forced, new; what is absent stays without --delete',
  async (t) => {
    const { git: on } = await bare('w1.git');
    await git(`push -q ${join(ada.home, 'w1.git')} main:refs/heads/fresh`);
    await on('update-ref refs/heads/b1 refs/heads/main');
    await on('update-ref -d refs/heads/b2');
    const before = await refs(live);

    const done = await rsync(ada, '-avz w1.git/ :acme/app.git/');

    t.equal(done.status, 0, done.stderr);
    t.match(await refs(live), /refs\/heads\/fresh/);
    t.equal((await refs(live)).includes('refs/heads/b2'), before.includes('refs/heads/b2'));
    const { stdout } = await ada.ssh('repo history acme/app fresh --json');
    t.match(JSON.parse(stdout)[0], { by: 'user:ada', action: 'rsync' });
    await must('git', ['-C', live, 'fsck', '--strict']);

    t.match(await rsync(ada, '-avz --delete w1.git/ :acme/app.git/'), { status: 0 });
    t.notMatch(await refs(live), /refs\/heads\/b2/);
    t.equal(await refs(live), await refs(join(ada.home, 'w1.git')));
    t.match(await rsync(ada, '-avzn --delete :acme/app.git/ w1.git/'), { status: 0 });
    t.match(await rsync(ada, '-avzn copy.git/ :acme/app.git/'), { status: 0 });
    t.equal(await refs(live), await refs(join(ada.home, 'w1.git')), 'a dry run changes nothing');
    const rows = await ada.ssh('audit list --action rsync --limit 3 --json');
    t.match(JSON.parse(rows.stdout), [{ action: 'rsync', target: 'acme/app', outcome: 'ok' }]);
  },
);

t.test('a way that breaks off, wherever it does, leaves nothing half done', async (t) => {
  const relay = await startRelay(house.port);
  t.teardown(() => relay.close());
  const { path: up } = await bare('w3.git');
  await commit('big', 300);
  await git(`push -q ${up} main:refs/heads/big`);
  const [before, there] = [await refs(live), join(ada.home, 'cut.git')];
  const incoming = join(house.dataDir, 'incoming');

  // In the handshake, among the names of files, in the midst of a pack, and shortly before the end.
  for (const breaksAfter of [2000, 12_000, 100_000, 290_000]) {
    Object.assign(relay.weather, { breaksAfter });
    const [written, read] = [
      await rsync(ada, '-avz w3.git/ :acme/app.git/', relay.port),
      await rsync(ada, '-avz :acme/app.git/ cut.git/', relay.port),
    ];
    t.not(written.status, 0, `${breaksAfter}: ${written.stderr}`);
    t.not(read.status, 0, `${breaksAfter}: ${read.stderr}`);
    await emptied(incoming);
    t.equal(await refs(live), before);
  }
  t.match(await rsync(ada, '-avz :acme/app.git/ cut.git/'), { status: 0 });
  t.equal(await refs(there), before);
  t.match(await rsync(ada, '-avz w3.git/ :acme/app.git/'), { status: 0 });
  t.match(await refs(live), /refs\/heads\/big/);
  for (const path of [live, there]) await must('git', ['-C', path, 'fsck', '--strict']);
  t.strictSame(readdirSync(incoming), []);
});

t.test('S13 rules bind it: all of it is refused, and the exit status says so', async (t) => {
  await ada.ssh('repo protect acme/app main');
  const { git: on } = await bare('w2.git');
  await on('update-ref refs/heads/main refs/heads/main~1');
  await on('update-ref refs/heads/also refs/heads/main');
  const before = await refs(live);

  const forced = await rsync(ada, '-avz w2.git/ :acme/app.git/');

  t.match(forced, { status: 4, stderr: /cpm: main: .*rule \d+ of acme\/app/ });
  t.equal(await refs(live), before);
  const rows = JSON.parse((await ada.ssh('audit list --action rsync --limit 1 --json')).stdout);
  t.match(rows, [{ outcome: 'denied' }]);
});

t.test('a missing repository that one may create is made, with the HEAD that came', async (t) => {
  const path = join(ada.home, 'new.git');
  await must('git', ['init', '-q', '--bare', '-b', 'trunk', path], { env: ada.gitEnv() });
  await git(`push -q ${path} main:trunk`);
  writeFileSync(join(path, 'config'), '[core]\n\tbare = true\n[tar "x"]\n\tcommand = id\n');

  t.match(await rsync(ada, '-avz new.git/ :acme/born.git/'), { status: 0 });

  const born = join(house.dataDir, 'repositories', 'acme', 'born.git');
  t.equal(await refs(born), await refs(path));
  t.equal(readFileSync(join(born, 'HEAD'), 'utf8'), 'ref: refs/heads/trunk\n');
  t.notMatch(readFileSync(join(born, 'config'), 'utf8'), /tar/);
  t.strictSame(readdirSync(join(born)).includes('hooks'), false);
  const nobody = await house.person('cy');
  t.match(await rsync(nobody, '-avz --exclude=* /etc/ :acme/other.git/'), {
    stderr: /no such repository/,
  });
});

const hostile: Readonly<Record<string, (path: string) => unknown>> = {
  'a link among the refs': (path) => symlinkSync('/etc/passwd', join(path, 'refs', 'heads', 'x')),
  'a link for a folder': (path) => symlinkSync('/etc', join(path, 'refs', 'tags', 'etc')),
  alternates: (path) => {
    mkdirSync(join(path, 'objects', 'info'), { recursive: true });
    writeFileSync(join(path, 'objects', 'info', 'alternates'), `${live}/objects\n`);
  },
  'a fifo': (path) => must('mkfifo', [join(path, 'fifo')]),
  'a symref': (path) => writeFileSync(join(path, 'refs', 'heads', 'x'), 'ref: refs/heads/main\n'),
  'a hidden ref': (path) => {
    mkdirSync(join(path, 'refs', 'cpm'));
    writeFileSync(join(path, 'refs', 'cpm', 'x'), `${'a'.repeat(40)}\n`);
  },
  'a replacement': (path) => {
    mkdirSync(join(path, 'refs', 'replace'));
    writeFileSync(join(path, 'refs', 'replace', 'a'.repeat(40)), `${'b'.repeat(40)}\n`);
  },
  'a ref whose object is missing': (path) =>
    writeFileSync(join(path, 'refs', 'heads', 'x'), `${'a'.repeat(40)}\n`),
  'a pack that is none': (path) =>
    writeFileSync(join(path, 'objects', 'pack', `pack-${'a'.repeat(40)}.pack`), 'PACK nonsense'),
};

t.test(
  'a repository that comes as a folder into the repository is told how to be sent',
  async (t) => {
    await bare('folder.git');
    const before = await refs(live);
    for (const words of ['-avz', '-avz --delete']) {
      t.match(await rsync(ada, `${words} folder.git :acme/app.git/`), {
        status: 2,
        stderr: /"?folder\.git"? was sent as a folder; nothing was changed\n.*put a slash behind/,
      });
    }
    t.equal(await refs(live), before);
  },
);

t.test('S14 links, devices, alternates and forged refs refuse the run', async (t) => {
  const before = await refs(live);
  const { path: sound } = await bare('sound.git');
  const tries = Object.entries(hostile).map(async ([what, spoil], nth) => {
    const name = `bad${nth}.git`;
    await must('cp', ['-a', sound, join(ada.home, name)]);
    await spoil(join(ada.home, name));
    const { status, stderr } = await rsync(ada, `-avz ${name}/ :acme/app.git/`);
    t.match({ status, stderr }, { status: 7, stderr: /not taken: .*nothing was changed/ }, what);
  });
  await Promise.all(tries);
  t.equal(await refs(live), before);
  t.strictSame(readdirSync(join(house.dataDir, 'incoming')), []);
});

const readers = new Set(['-L', '-k', '-u', '--files-from=:/etc/passwd', '--copy-devices']);
const refusedOptions = [
  ...readers,
  ...['-s', '-H', '-A', '-X', '-K', '-b', '-R', '-y', '--inplace', '--append', '--link-dest=/etc'],
  ...['--copy-dest=/etc', '--compare-dest=/etc', '--temp-dir=/tmp', '--partial-dir=/tmp'],
  ...['--backup-dir=/tmp', '--remove-source-files', '--write-devices', '--usermap=0:0'],
  ...['--iconv=utf8,utf8', '--mkpath', '--delete-excluded', '-M--log-file=/tmp/x', '--sparse'],
];

t.test(
  'S24 a client with an option that is not on the list gets a sentence, and nothing else',
  async (t) => {
    const before = await refs(live);
    let refused = 0;
    for (const option of refusedOptions) {
      const words = readers.has(option)
        ? `-a ${option} :acme/app.git/ refused/`
        : `-a ${option} copy.git/ :acme/app.git/`;
      const { stdout, stderr } = await rsync(ada, words);
      refused += Number(/^cpm: rsync: .*\nhint: take: rsync -avz --delete .*\n/m.test(stderr));
      t.match(stderr, /^cpm: rsync: .* is not among its flags\n/m, words);
      t.equal(stdout, '', words);
    }
    t.equal(refused, refusedOptions.length);
    t.equal(await refs(live), before);
  },
);

t.test('what is kept goes when the repository is deleted', async (t) => {
  const kept = join(house.dataDir, 'run', 'rsync');
  t.ok(readdirSync(kept).length > 0);
  t.match(await ada.ssh('repo delete acme/app --yes'), { status: 0 });
  t.strictSame(readdirSync(kept), []);
});
