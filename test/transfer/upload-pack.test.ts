import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { initBare } from '../../src/programs/bare.ts';
import { type Git, openGit } from '../../src/programs/git.ts';
import { NewObjects } from '../../src/programs/objects.ts';
import { RefAnswers } from '../../src/programs/ref-answers.ts';
import { statusOf } from '../../src/transfer/pass.ts';
import { uploadPack } from '../../src/transfer/upload-pack/plan.ts';

interface Repo {
  readonly directory: string;
  readonly git: Git;
  readonly refAnswers: RefAnswers;
  /** How many processes were started for talks. */
  started(): number;
  text(args: readonly string[], input?: string): Promise<string>;
  commit(message: string): Promise<string>;
}

async function makeRepo(t: Test): Promise<Repo> {
  const root = t.testdir({ home: {} });
  const directory = join(root, 'a.git');
  await initBare(directory, { defaultBranch: 'main', repoId: randomUUID() });
  const real = await openGit({ houseId: randomUUID(), emptyHome: join(root, 'home') });
  let count = 0;
  const git: Git = {
    ...real,
    start: (...all) => {
      count += 1;
      return real.start(...all);
    },
    run: (...all) => {
      count += 1;
      return real.run(...all);
    },
  };
  const person = ['-c', 'user.name=Ana', '-c', 'user.email=ana@example.org'];
  const text = async (args: readonly string[], input = ''): Promise<string> => {
    const ran = await real.run([...person, ...args], { cwd: directory, input });
    if (ran.status !== 0) throw new Error(ran.stderr);
    return ran.stdout.toString().trim();
  };
  const tree = await text(['mktree']);
  const commit = (message: string) => text(['commit-tree', tree, '-m', message]);
  return { directory, git, refAnswers: new RefAnswers(git), started: () => count, text, commit };
}

/** Makes the files of refs look as if nobody had written there for long. */
function age(directory: string): void {
  const past = new Date(Date.now() - 60_000);
  const walk = (path: string): void => {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      for (const name of readdirSync(path)) walk(join(path, name));
    } else utimesSync(path, past, past);
  };
  for (const name of ['HEAD', 'packed-refs', 'refs']) {
    const path = join(directory, name);
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) walk(path);
  }
}

/** What a client gets that says all at once. */
async function talk(repo: Repo, protocol: string | undefined, bytes: Buffer) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  stderr.resume();
  stdin.end(bytes);
  const plan = uploadPack.plan(['acme/app']);
  if (plan.right !== 'read') throw new Error('a fetch reads');
  const { directory, git, refAnswers } = repo;
  const { signal } = new AbortController();
  const stdio = { stdin, stdout, stderr };
  const status = await plan.talk({
    git,
    refAnswers,
    newObjects: new NewObjects(),
    directory,
    protocol,
    signal,
    stdio,
  });
  stdout.end();
  await once(stdout, 'close');
  return { status, said: Buffer.concat(chunks).toString('latin1') };
}

/** What git itself says to the same bytes. */
async function really({ git, directory }: Repo, protocol: string | undefined, input: Buffer) {
  const args = ['upload-pack', '--strict', '.'];
  const child = git.start(args, { cwd: directory, protocol });
  child.stderr.resume();
  child.stdin.end(input);
  const said = await buffer(child.stdout);
  // On some of them it aborts.
  return { status: statusOf(await child.exited), said: said.toString('latin1') };
}

/** Refs by the thousand, as git packs them: branches, or tags with what they lead to. */
function packMany(directory: string, count: number, oid: string, tag?: string): void {
  const folder = tag === undefined ? 'heads' : 'tags';
  const names = Array.from({ length: count }, (_, nth) => `refs/${folder}/many/${nth}`).sort();
  const lines = names.map(
    (name) => `${tag ?? oid} ${name}\n${tag === undefined ? '' : `^${oid}\n`}`,
  );
  const head = '# pack-refs with: peeled fully-peeled sorted \n';
  writeFileSync(join(directory, 'packed-refs'), [head, ...lines].join(''));
}

const delim = Buffer.from('0001');
const lsRefs = (...words: string[]) =>
  Buffer.concat([
    ...['command=ls-refs\n', 'agent=git/2.39.5', 'object-format=sha1'].map((line) => pkt(line)),
    ...(words.length > 0 ? [delim, ...words.map((word) => pkt(`${word}\n`))] : []),
    flushPkt,
  ]);
const all = ['peel', 'symrefs', 'unborn'];
const questions: readonly (readonly [string | undefined, Buffer])[] = [
  [undefined, flushPkt],
  ['version=1', flushPkt],
  ['version=2', flushPkt],
  ['version=2', Buffer.alloc(0)],
  ['version=2', Buffer.concat([lsRefs(...all), flushPkt])],
  ['version=2', Buffer.concat([lsRefs(), lsRefs('symrefs'), lsRefs('unborn'), flushPkt])],
  ['version=2', lsRefs('symrefs', 'unborn', 'ref-prefix HEAD')],
  ['version=2', lsRefs(...all, 'ref-prefix refs/heads/', 'ref-prefix refs/tags/v1')],
  ['version=2', lsRefs(...all, 'ref-prefix refs/cpm/', 'ref-prefix refs/none')],
  ['version=2', lsRefs('peel', 'peel', 'ref-prefix r', 'ref-prefix refs/heads/main')],
];

/** Each question twice: as it is asked first, and from what is on record by then. */
async function compare(t: Test, repo: Repo, what: string): Promise<void> {
  age(repo.directory);
  for (const [protocol, bytes] of questions) {
    const real = await really(repo, protocol, bytes);
    const title = `${what}, ${protocol}: ${bytes.toString('latin1')}`;
    t.strictSame(await talk(repo, protocol, bytes), real, title);
    const before = repo.started();
    t.strictSame(await talk(repo, protocol, bytes), real, `${title}, again`);
    t.equal(repo.started(), before, `${title}: without a process`);
    t.notMatch(real.said, 'refs/cpm');
  }
}

t.test('what is told from memory is what git says, byte for byte', async (t) => {
  const repo = await makeRepo(t);
  const { directory, text, commit } = repo;
  await compare(t, repo, 'unborn HEAD, no refs');
  const [one, two] = [await commit('one'), await commit('two')];
  await text(['update-ref', 'refs/heads/topic', one]);
  await compare(t, repo, 'unborn HEAD, one branch');
  await text(['update-ref', 'refs/heads/main', two]);
  await text(['tag', '-a', '-m', 'x', 'v1', one]);
  await text(['-c', 'advice.nestedTag=false', 'tag', '-a', '-m', 'x', 'v1-of-a-tag', 'v1']);
  await text(['update-ref', 'refs/notes/commits', one]);
  for (const hidden of ['archive/1', 'conflicts/b/heads/main']) {
    await text(['update-ref', `refs/cpm/${hidden}`, one]);
  }
  await compare(t, repo, 'tags, notes, hidden refs');
  await text(['pack-refs', '--all']);
  await text(['update-ref', 'refs/heads/topic', two]);
  await compare(t, repo, 'packed and loose');
  await text(['symbolic-ref', 'refs/heads/alias', 'refs/heads/main']);
  await text(['symbolic-ref', 'refs/heads/dangling', 'refs/heads/none']);
  writeFileSync(join(directory, 'refs/heads/broken'), `${'ab'.repeat(20)}\n`);
  await compare(t, repo, 'symrefs, and a ref without its object');
  rmSync(join(directory, 'refs/heads/broken'));
  writeFileSync(join(directory, 'HEAD'), `${one}\n`);
  await compare(t, repo, 'detached HEAD');
  writeFileSync(join(directory, 'HEAD'), 'ref: refs/heads/main\n');
  packMany(directory, 5000, one, await text(['rev-parse', 'v1']));
  await compare(t, repo, '5,000 tags');
});

t.test('what is no plain question goes to git as it came, and is answered by it', async (t) => {
  const repo = await makeRepo(t);
  await repo.text(['update-ref', 'refs/heads/main', await repo.commit('one')]);
  age(repo.directory);
  const line = (...lines: string[]) => Buffer.concat(lines.map((each) => pkt(each)));
  const first = line('command=ls-refs\n', 'agent=x');
  for (const [name, bytes] of Object.entries({
    'another capability': Buffer.concat([first, line('session-id=1'), delim, flushPkt]),
    'an option of the server': Buffer.concat([first, line('server-option=x'), flushPkt]),
    'another hash': Buffer.concat([first, line('object-format=sha256'), flushPkt]),
    'two commands': Buffer.concat([first, line('command=ls-refs'), flushPkt]),
    'the command last': Buffer.concat([line('agent=x', 'command=ls-refs'), flushPkt]),
    'no command': Buffer.concat([line('agent=x'), flushPkt]),
    'an unknown command': Buffer.concat([line('command=x'), flushPkt]),
    'an unknown argument': Buffer.concat([first, delim, line('x'), flushPkt]),
    'a prefix of other letters': Buffer.concat([first, delim, line('ref-prefix é'), flushPkt]),
    'two delimiters': Buffer.concat([first, delim, delim, flushPkt]),
    'a delimiter first': Buffer.concat([delim, flushPkt]),
    'the end of a response': Buffer.from('0002'),
    'an end within': first,
    'an end within a packet': Buffer.concat([first, Buffer.from('0040ref')]),
    'no packet': Buffer.concat([first, Buffer.from('zzzz')]),
    'a length of three': Buffer.from('0003'),
    'a question, then another world': Buffer.concat([lsRefs(...all), Buffer.from('GET /')]),
    'a question, then objects': Buffer.concat([
      lsRefs('peel'),
      ...[line('command=object-info', 'object-format=sha1'), delim, line('size'), flushPkt],
      lsRefs('symrefs'),
    ]),
    'capital digits': Buffer.concat([
      Buffer.from('0014command=ls-refs\n'),
      delim,
      Buffer.from('000Apeel\n\n'.slice(0, 10)),
      flushPkt,
    ]),
    'prefixes without end': lsRefs(
      ...Array.from({ length: 2000 }, (_, nth) => `ref-prefix refs/heads/${nth}`),
      'ref-prefix refs/heads/m',
    ),
  })) {
    const real = await really(repo, 'version=2', bytes);
    t.strictSame(await talk(repo, 'version=2', bytes), real, name);
    if (name.startsWith('a question')) t.not(real.said, '', name);
  }
  for (const bytes of ['', '0000more', '0032want', 'zzzz', '0009done\n', '0001']) {
    for (const protocol of [undefined, 'version=7']) {
      const real = await really(repo, protocol, Buffer.from(bytes));
      t.strictSame(await talk(repo, protocol, Buffer.from(bytes)), real, `${protocol} ${bytes}`);
    }
  }
});

t.test('a ref that has moved is told at once, however it moved', async (t) => {
  const repo = await makeRepo(t);
  const { directory, text, commit } = repo;
  const [one, two] = [await commit('one'), await commit('two')];
  const steps: readonly (readonly string[])[] = [
    ['update-ref', 'refs/heads/main', one],
    ['update-ref', 'refs/heads/main', two],
    ['update-ref', 'refs/heads/main', one],
    ['pack-refs', '--all'],
    ['update-ref', 'refs/heads/deep/er/ref', two],
    ['update-ref', '-d', 'refs/heads/deep/er/ref'],
    ['update-ref', 'refs/heads/deep', two],
    ['symbolic-ref', 'HEAD', 'refs/heads/deep'],
    ['update-ref', '-d', 'refs/heads/main'],
    ['pack-refs', '--all', '--prune'],
    ['update-ref', '-d', 'refs/heads/deep'],
  ];
  const bytes = lsRefs(...all);
  for (const step of steps) {
    // Once with files that look old, so that what is on record is told; once just as they are.
    age(directory);
    await talk(repo, 'version=2', bytes);
    await talk(repo, 'version=2', bytes);
    await text(step);
    const real = await really(repo, 'version=2', bytes);
    t.strictSame(await talk(repo, 'version=2', bytes), real, step.join(' '));
    t.strictSame(await talk(repo, 'version=2', bytes), real, step.join(' '));
  }
});

t.test('while others push, nobody is told of a state that was over when he asked', async (t) => {
  const repo = await makeRepo(t);
  const { text, commit } = repo;
  const oids: string[] = [];
  for (let nth = 0; nth < 25; nth += 1) oids.push(await commit(`commit ${nth}`));
  let done = -1;
  const write = async () => {
    for (const [nth, oid] of oids.entries()) {
      await text(['update-ref', 'refs/heads/main', oid]);
      done = nth;
    }
  };
  let asked = 0;
  const read = async () => {
    while (done < oids.length - 1) {
      const before = done;
      const { said } = await talk(repo, 'version=2', lsRefs('ref-prefix refs/heads/main'));
      const told = oids.findIndex((oid) => said.includes(`${oid} refs/heads/main`));
      if (told < before) t.fail(`told ${told}, which was over: ${before}`);
      asked += 1;
    }
  };
  await Promise.all([write(), read(), read()]);
  t.ok(asked > 0);
});

t.test('what is kept has its bounds', async (t) => {
  const repo = await makeRepo(t);
  const { directory, commit, refAnswers } = repo;
  const oid = await commit('one');
  packMany(directory, 22_000, oid);
  age(directory);
  const { signal } = new AbortController();
  const ask = async (nth: number) => {
    const before = repo.started();
    const input = `${lsRefs('ref-prefix refs/', `ref-prefix ${nth}`).toString('latin1')}0000`;
    const answer = await refAnswers.of(directory, { protocol: 'version=2', input }, signal);
    return { bytes: answer?.length, started: repo.started() - before };
  };
  const first = await ask(0);
  t.ok((first.bytes ?? 0) > 1024 * 1024);
  t.strictSame(await ask(0), { ...first, started: 0 });
  for (let nth = 1; nth < 8; nth += 1) await ask(nth);
  t.strictSame(await ask(7), { ...first, started: 0 });
  t.strictSame(await ask(0), { ...first, started: 1 }, 'the oldest made room');

  packMany(directory, 44_000, oid);
  age(directory);
  t.strictSame(await ask(0), { bytes: undefined, started: 1 }, 'too long to be kept');
  t.strictSame(await ask(0), { bytes: undefined, started: 0 }, 'and known to be');
  const bytes = Buffer.concat([lsRefs('peel'), flushPkt]);
  t.strictSame(await talk(repo, 'version=2', bytes), await really(repo, 'version=2', bytes));
});
