import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { House } from '../support/house.ts';
import { must } from '../support/process.ts';

const house = await House.open(t);
const { admin } = house;
const bare = (repo: string) => join(house.dataDir, 'repositories', `${repo}.git`);

/** A repository of bo's with two commits on main. */
const bo = await house.person('bo');
const work = await bo.worktree();
const git = async (...words: string[]) => bo.git(words, { cwd: work });
const oid = async (name: string) => (await git('rev-parse', name)).stdout.trim();
await git('commit', '-q', '--allow-empty', '-m', 'second');
await git('push', '-q', bo.url('app'), 'main');
const tip = await oid('main');

async function serverRefs(repo = 'bo/app'): Promise<string> {
  const { stdout } = await must('git', ['-C', bare(repo), 'for-each-ref', '--format=%(refname)']);
  return stdout;
}

async function tipOnServer(): Promise<string> {
  const { stdout } = await bo.git(['ls-remote', bo.url('app'), 'refs/heads/main']);
  return stdout.split('\t')[0] ?? '';
}

t.test('S12 / test 3: replacement refs are refused, as a loop too, and clones work', async (t) => {
  const [old, other] = [await oid('main~1'), tip];
  for (const [from, to] of [
    [old, other],
    [other, old],
  ] as const) {
    await git('update-ref', `refs/replace/${from}`, to);
  }

  const env = { GIT_NO_REPLACE_OBJECTS: '1' };
  const push = await bo.git(['push', bo.url('app'), 'refs/replace/*:refs/replace/*'], {
    cwd: work,
    env,
  });

  t.equal(push.status, 1);
  for (const name of [old, other]) {
    t.match(push.stderr, `! [remote rejected] refs/replace/${name} -> refs/replace/${name} (only`);
  }
  t.equal(await serverRefs(), 'refs/heads/main\n');
  t.match(await bo.git(['clone', '-q', bo.url('app'), 'after-loop']), { status: 0 });
  await git('update-ref', '-d', `refs/replace/${old}`);
  await git('update-ref', '-d', `refs/replace/${other}`);
});

t.test('S12 / test 3: a twin of main’s tip is refused, and a forced main with it', async (t) => {
  await git('checkout', '-q', '--orphan', 'rewritten');
  await git('commit', '-q', '--allow-empty', '-m', 'another history');
  const rewritten = await oid('HEAD');
  const twin = `${rewritten}:refs/replace/${tip}`;

  const push = await git('push', '--atomic', bo.url('app'), twin, '+rewritten:main');

  t.equal(push.status, 1);
  t.match(push.stderr, /\(only refs\/heads\/, refs\/tags\/ and refs\/notes\/ can be pushed\)/);
  t.match(push.stderr, /\(atomic push: another ref was refused\)/);
  t.equal(await tipOnServer(), tip, 'main is unmoved');
  t.match(await bo.git(['clone', '-q', bo.url('app'), 'after-twin']), { status: 0 });
  t.match(await git('push', bo.url('app'), 'main:next'), { status: 0 }, 'as does the next push');
});

t.test('S12 what was archived can neither be seen, named, written nor deleted', async (t) => {
  const lost = await oid('rewritten');
  await git('push', '-q', bo.url('app'), 'rewritten:gone');
  await git('push', '-q', bo.url('app'), ':gone');
  const archived = (await serverRefs()).split('\n').filter((ref) => ref.startsWith('refs/cpm/'));
  t.equal(archived.length, 1, 'the deleted branch’s tip was kept');
  const [ref = ''] = archived;

  const seen = await bo.git(['ls-remote', bo.url('app')]);
  const fetched = await bo.git(['fetch', '-q', bo.url('app'), ref], { cwd: work });
  const written = await git('push', bo.url('app'), `main:${ref}`);
  const deleted = await git('push', bo.url('app'), `:${ref}`);

  t.notMatch(seen.stdout, /refs\/cpm/);
  t.not(fetched.status, 0);
  t.match(written, { status: 1, stderr: /only refs\/heads\/, refs\/tags\/ and refs\/notes\// });
  t.match(deleted, { status: 1 });
  t.match(await serverRefs(), ref);
  t.match(await must('git', ['-C', bare('bo/app'), 'rev-parse', ref]), { stdout: lost });
});

t.test('S15 / test 8: every trick with git archive meets one and the same refusal', async (t) => {
  const archived = (await serverRefs()).split('\n').find((ref) => ref.startsWith('refs/cpm/'));
  const tricks = [
    [archived ?? ''],
    [(archived ?? '').slice('refs/'.length)],
    [tip],
    ['main~1'],
    ['main:'],
    ['no-such-branch'],
    ['refs/cpm/conflicts/hq/heads/main'],
    ['--add-file=/etc/shadow', 'main'],
    ['--add-file=/no/such/file', 'main'],
    ['--add-virtual-file=a:b', 'main'],
    ['--output=/tmp/out', 'main'],
    ['--exec=/bin/sh', 'main'],
    ['--remote=.', 'main'],
    ['--format=../../x', 'main'],
    ['--format=evil', 'main'],
    ['--worktree-attributes', 'main'],
  ];
  const ask = async (words: readonly string[]) => {
    const stdin = Buffer.concat([...words.map((word) => pkt(`argument ${word}\n`)), flushPkt]);
    return bo.ssh(['git-upload-archive', 'bo/app'], { stdin });
  };

  const answers = await Promise.all(tricks.map(ask));

  const [first] = answers;
  t.match(first, { status: 4, stdout: /NACK an archive is made of HEAD, a branch or a tag/ });
  for (const [at, { status, stdout, stderr }] of answers.entries()) {
    const { bytes: _, ...same } = first ?? { bytes: undefined };
    t.same({ status, stdout, stderr }, same, `${tricks[at]}`);
  }
  t.match(await ask(['--format=tar', 'main']), { status: 0, stdout: /ACK/ }, 'an honest one works');
  const honest = ['archive', `--remote=${bo.url('app')}`, '--format=zip', 'main'];
  t.match(await bo.git(honest), { status: 0, stdout: /^PK/ });
  t.match(await bo.git(['archive', `--remote=${bo.url('app')}`, archived ?? '']), {
    status: 128,
    stderr: /an archive is made of HEAD, a branch or a tag/,
  });
});

t.test(
  'S13 a push is on record under the one who pushed, whoever the repository’s owner',
  async (t) => {
    await admin.ssh('init ada/shared');
    await admin.ssh('repo access grant ada/shared bo write');
    await git('push', '-q', bo.url('ada/shared'), 'main');
    const moved = await git('push', '-q', bo.url('ada/shared'), 'main:refs/tags/v1');
    t.equal(moved.status, 0);

    const rows = JSON.parse(
      (await house.operator('audit list --repo ada/shared --action git-receive-pack --json'))
        .stdout,
    );

    t.match(rows, [
      {
        principal: 'user:bo',
        key: bo.key.fingerprint,
        outcome: 'ok',
        detail: { refs: [{ ref: 'refs/tags/v1', old: '0'.repeat(40), new: tip }] },
      },
      { principal: 'user:bo', detail: { refs: [{ ref: 'refs/heads/main', new: tip }] } },
    ]);
  },
);

t.test('S13 no right is above the rules: the owner’s default branch stays too', async (t) => {
  for (const person of [bo, admin]) {
    const push = await person.git(['push', person.url('bo/app'), ':main'], { cwd: work });
    t.match(push, { status: 1, stderr: /\(the default branch can not be deleted\)/ });
  }
  t.equal(await tipOnServer(), tip);
});

t.test('S14 hooks and programs that a repository names on disk do not run', async (t) => {
  const directory = bare('bo/app');
  const marks = join(house.folder, 'marks');
  const planted = join(house.folder, 'planted');
  mkdirSync(marks);
  const plant = (path: string) => {
    writeFileSync(path, `#!/bin/sh\n: > "${marks}/$(basename "$0")-$$"\ncat\n`);
    chmodSync(path, 0o700);
  };
  const hooks = [
    ...['pre-receive', 'update', 'post-receive', 'post-update', 'reference-transaction'],
    ...['proc-receive', 'push-to-checkout', 'pre-auto-gc', 'post-index-change', 'fsmonitor'],
  ];
  for (const folder of [join(directory, 'hooks'), planted]) {
    mkdirSync(folder, { recursive: true });
    for (const hook of hooks) plant(join(folder, hook));
  }
  plant(join(planted, 'program'));
  const program = join(planted, 'program');
  const settings = {
    'core.hooksPath': planted,
    'core.alternateRefsCommand': program,
    'core.fsmonitor': program,
    'core.pager': program,
    'core.sshCommand': program,
    'uploadpack.packObjectsHook': program,
    'tar.tar.gz.command': program,
    'tar.tgz.command': program,
    'tar.evil.command': program,
    'tar.evil.remote': 'true',
    'gpg.program': program,
    'gc.auto': '1',
    'receive.autogc': 'true',
  };
  for (const [key, value] of Object.entries(settings)) {
    await must('git', ['config', '-f', join(directory, 'config'), key, value]);
  }

  await git('commit', '-q', '--allow-empty', '-m', 'third');
  t.match(await git('push', bo.url('app'), 'HEAD:third'), { status: 0 });
  t.match(await git('push', bo.url('app'), ':third'), { status: 0 });
  t.match(await bo.git(['clone', '-q', bo.url('app'), 'planted-clone']), { status: 0 });
  for (const format of ['tar', 'tar.gz', 'tgz', 'zip', 'evil']) {
    const words = ['archive', `--remote=${bo.url('app')}`, `--format=${format}`, 'main'];
    t.equal((await bo.git(words)).status, format === 'evil' ? 128 : 0, format);
  }

  t.same(readdirSync(marks), [], 'nothing of it ran');
  t.ok(existsSync(join(directory, 'hooks', 'pre-receive')), 'though it was there');
});

t.test('S16 deleting by the wrong old value, or from nothing to nothing, is refused', async (t) => {
  const nil = '0'.repeat(40);
  const bogus = '1'.repeat(40);
  for (const [old, why] of [
    [nil, 'neither an update nor a deletion'],
    [bogus, `it is at ${tip.slice(0, 7)}`],
  ] as const) {
    const line = `${old} ${nil} refs/heads/next\0report-status`;
    const stdin = Buffer.concat([pkt(line), flushPkt]);
    const answer = await bo.ssh(['git-receive-pack', 'bo/app'], { stdin });
    t.match(answer.stdout, `ng refs/heads/next ${why}`);
  }
  t.match(await serverRefs(), 'refs/heads/next\n');
});

t.test('S26 a push over a limit is refused before anything of it is kept', async (t) => {
  await house.operator('config set limits.refs_per_push 2');
  await house.restart();
  const before = readdirSync(join(bare('bo/app'), 'objects'));

  const refs = ['HEAD:a', 'HEAD:b', 'HEAD:c'];
  const push = await git('push', bo.url('app'), ...refs);

  t.match(push, { status: 1, stderr: /a push may change 2 refs at most/ });
  t.same(readdirSync(join(bare('bo/app'), 'objects')), before);
  t.match(await git('push', bo.url('app'), 'HEAD:a'), { status: 0 }, 'a smaller one is taken');
});
