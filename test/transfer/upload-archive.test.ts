import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { NewObjects } from '../../src/programs/objects.ts';
import { RefAnswers } from '../../src/programs/ref-answers.ts';
import { archiveTips } from '../../src/programs/tips.ts';
import { uploadArchive } from '../../src/transfer/upload-archive.ts';
import { type House, makeHouse, openHub, remote } from './hub.ts';
import { seeded } from './raw.ts';

const refusal = Buffer.concat([
  pkt(
    'NACK an archive is made of HEAD, a branch or a tag, with --format, --prefix, -0 to -9, --list and paths\n',
  ),
  flushPkt,
]);

/** Sends the words as git does and answers what came back. */
async function ask(house: House, words: readonly string[]): Promise<{ end: unknown; out: Buffer }> {
  return askBytes(
    house,
    Buffer.concat([...words.map((word) => pkt(`argument ${word}\n`)), flushPkt]),
  );
}

async function askBytes(house: House, bytes: Buffer): Promise<{ end: unknown; out: Buffer }> {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  stderr.resume();
  const plan = uploadArchive.plan(['acme/app.git']);
  if (plan.right !== 'read') throw new Error('an archive reads');
  stdin.end(bytes);
  const { git, repo: directory } = house;
  const signal = new AbortController().signal;
  const refAnswers = new RefAnswers(git);
  const end = await plan
    .talk({
      git,
      refAnswers,
      newObjects: new NewObjects(),
      directory,
      protocol: undefined,
      signal,
      stdio: { stdin, stdout, stderr },
    })
    .catch((error: unknown) => error);
  stdout.end();
  await once(stdout, 'close');
  return { end, out: Buffer.concat(chunks) };
}

t.test('a person makes archives of branches and tags in every format', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const { work } = await seeded(t, house);
  await hub.client(work.directory, 'push', '-q', remote, 'main:refs/tags/v1', 'main:feature/x');
  const forms = [
    ['HEAD'],
    ['main'],
    ['v1'],
    ['refs/tags/v1'],
    ['refs/heads/feature/x'],
    ['--format=tar', '--prefix=app-1/', 'v1'],
    ['--format=zip', '-9', 'main'],
    ['--format=tgz', 'main', 'file'],
    ['--format', 'tar.gz', '--prefix', 'x/', 'main', '--', 'file'],
    ['-v', 'main'],
    ['main', '--format=zip'],
    ['--list'],
    ['-l'],
  ];
  for (const form of forms) {
    const made = await hub.client(house.root, 'archive', `--remote=${remote}`, ...form);

    t.equal(made.status, 0, `${form.join(' ')}: ${made.stderr}`);
    t.ok(made.stdout.length > 10, form.join(' '));
  }
});

t.test('S15 everything else gets one and the same refusal, byte for byte', async (t) => {
  const house = await makeHouse(t);
  const { first } = await seeded(t, house);
  await archiveTips(house.git, house.repo, [first]);
  const wrong = [
    ['--add-file=/etc/shadow', 'HEAD'],
    ['--add-file=/nonexistent', 'HEAD'],
    ['HEAD', '--add-file=/etc/shadow'],
    ['--add-virtual-file=x:y', 'HEAD'],
    ['--output=/tmp/x', 'HEAD'],
    ['--remote=.', 'HEAD'],
    ['--exec=x', 'HEAD'],
    ['--worktree-attributes', 'HEAD'],
    ['--format=tar.xz', 'HEAD'],
    ['--pre=x', 'HEAD'],
    [`cpm/archive/${first}`],
    [`refs/cpm/archive/${first}`],
    [`heads/main`],
    [first],
    [first.slice(0, 7)],
    ['main^'],
    ['main~1'],
    ['main:'],
    ['main:file'],
    ['HEAD:file'],
    ['HEAD@{1}'],
    ['absent'],
    ['refs/heads/absent'],
    ['../../HEAD'],
    ['refs/heads/../../HEAD'],
    [''],
    [],
    ['--'],
    ['-v'],
    ['--list', '--add-file=/etc/shadow'],
    ['main', 'a\nargument --add-file=/etc/shadow'],
    Array.from({ length: 70 }, () => '-v'),
  ];
  for (const words of wrong) {
    const { end, out } = await ask(house, words);

    t.equal(end, 4, words.join(' '));
    t.ok(out.equals(refusal), `${words.join(' ')}: ${out}`);
  }
  for (const bytes of [pkt('argument HEAD\n'), pkt('something\n'), Buffer.from('0001')]) {
    const { end, out } = await askBytes(house, bytes);

    t.equal(end, 4);
    t.ok(out.equals(refusal));
  }
});

t.test('S15 git’s own client shows the refusal', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  await seeded(t, house);

  const made = await hub.client(
    house.root,
    'archive',
    `--remote=${remote}`,
    '--add-file=/etc/passwd',
    'HEAD',
  );

  t.not(made.status, 0);
  t.match(made.stderr, /an archive is made of HEAD, a branch or a tag/);
});
