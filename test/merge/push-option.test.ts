import t from 'tap';
import { json } from '../commands/scenario.ts';
import { generateKey, quoteWords } from '../support/person.ts';
import { openWorld, Scene } from './scene.ts';

const world = await openWorld(t);
const { house, ana } = world;
const operator = { run: house.operator.bind(house) };

t.test('a push with -o merge=main merges what it pushed, and says so', async (t) => {
  const scene = await Scene.open(world, 'app');
  await scene.git('checkout', '-q', '-b', 'feature');
  const ahead = await scene.commit({ c: 'c\n' }, 'c');
  t.match(await scene.tries('push', '-o', 'merge=main', 'origin', 'feature'), {
    status: 0,
    stderr: new RegExp(`^remote: main: fast-forward with feature: ${ahead.slice(0, 7)} *$`, 'm'),
  });
  t.equal(await scene.onServer('refs/heads/main'), ahead);

  await scene.diverge({ b: 'ours\n' }, { d: 'theirs\n' });
  await scene.git('checkout', '-q', 'topic');
  const topic = await scene.commit({ e: 'e\n' }, 'e');
  const words = ['push', '-o', 'merge', '-o', 'mode=squash', '-o', 'message=All of it'];
  t.match(await scene.tries(...words, 'origin', 'topic'), {
    status: 0,
    stderr: /^remote: main: squashed with topic: [0-9a-f]{7} *$/m,
  });
  await scene.git('fetch', '-q');
  t.equal(await scene.git('log', '-1', '--format=%an %s', 'origin/main'), 'ana All of it');
  t.equal(await scene.onServer('refs/heads/topic'), topic);

  const record = (await json(
    operator,
    `audit list --repo ${scene.name} --action git-receive-pack`,
  )) as { detail: { merge?: unknown } }[];
  t.match(
    record.filter(({ detail }) => detail.merge !== undefined),
    [
      {
        principal: 'user:ana',
        outcome: 'ok',
        detail: {
          refs: [{ ref: 'refs/heads/topic', new: topic }],
          merge: { result: 'squashed', source: 'topic', target: 'main' },
        },
      },
      { detail: { merge: { result: 'fast-forward', commit: ahead } } },
    ],
  );
});

t.test('what is in the way of the merge is told, and undoes nothing of the push', async (t) => {
  const scene = await Scene.open(world, 'refused');
  const { main } = await scene.diverge({ a: 'ours\n', c: 'c\n' }, { a: 'theirs\n', c: 'd\n' });
  await scene.git('checkout', '-q', 'topic');
  const cases: [string, readonly string[], RegExp][] = [
    [
      'a conflict',
      ['merge=main'],
      /^remote: not merged: topic conflicts with main *\nremote: {3}content: a *\nremote: {3}add\/add: c *\nremote: hint: git pull origin main, resolve, then push again/m,
    ],
    ['no fast-forward', ['merge=main', 'mode=ff-only'], /not merged: main can't be fast-forwarded/],
    ['no target', ['merge=nosuch'], /not merged: acme\/refused has no branch "nosuch"/],
    ['no name', ['merge=a..b'], /not merged: "a..b" is not a branch name/],
    ['no mode', ['merge=main', 'mode=octopus'], /not merged: "octopus" is not a mode/],
    ['no message', ['merge=main', 'message= '], /not merged: the message is empty/],
    ['controls', ['merge=\x1b[2J'], /not merged: "\\x1b\[2J" is not a branch name/],
    [
      'unknown',
      ['ci.skip', 'mode=squash'],
      /push option "ci.skip" means nothing here *\nremote: push option "mode=squash"/,
    ],
  ];
  for (const [name, options, said] of cases) {
    const oid = await scene.commit({ a: `${name}\n` }, name);
    const flags = options.flatMap((option) => ['-o', option]);
    const { status, stderr } = await scene.tries('push', ...flags, 'origin', 'topic');
    t.equal(status, 0, name);
    t.match(stderr, said, name);
    t.equal(await scene.onServer('refs/heads/topic'), oid, name);
  }
  t.match(await scene.tries('push', '-o', 'merge=main', 'origin', 'topic:one', 'topic:two'), {
    status: 0,
    stderr: /not merged: a merge follows the push of one branch/,
  });
  t.match(await scene.tries('push', '-o', 'merge=main', 'origin', ':one'), {
    status: 0,
    stderr: /not merged: a merge follows the push of one branch/,
  });
  const refusedPush = await scene.tries('push', '-o', 'merge=main', 'origin', 'topic:refs/x/y');
  t.not(refusedPush.status, 0);
  t.notMatch(refusedPush.stderr, /merged/);
  t.equal(await scene.onServer('refs/heads/main'), main);
});

t.test('a push that creates its repository may merge at once', async (t) => {
  const scene = await Scene.open(world, 'seed');
  const url = ana.url('fresh');
  const words = ['push', '-o', 'merge=main', url, 'main:main'];
  t.match(await scene.tries(...words), { status: 0, stderr: /main: up-to-date with main/ });
});

t.test('a deploy key merges where it may write, and nowhere else', async (t) => {
  const scene = await Scene.open(world, 'keyed');
  const key = await generateKey(`${ana.home}/robot`);
  await house.operator(`sshkey add - --repo ${scene.name} --right write --refs ci/*`, {
    stdin: key.line,
  });
  await scene.git('push', '-q', 'origin', 'main:ci/all');
  await scene.git('checkout', '-q', '-b', 'ci/one');
  const oid = await scene.commit({ c: 'c\n' }, 'c');
  const env = {
    GIT_SSH_COMMAND: quoteWords(['ssh', ...ana.sshOptions()]).replace(
      ana.key.privatePath,
      key.privatePath,
    ),
  };
  const push = (into: string, ref: string) =>
    ana.git(['push', '-o', `merge=${into}`, ana.url(scene.name), ref], { cwd: scene.cwd, env });

  t.match(await push('ci/all', 'ci/one'), {
    status: 0,
    stderr: /remote: ci\/all: fast-forward with ci\/one/,
  });
  t.equal(await scene.onServer('refs/heads/ci/all'), oid);
  t.match(await push('main', 'ci/one:ci/two'), {
    status: 0,
    stderr: /remote: not merged: main: this deploy key writes only ci\/\*/,
  });
  t.equal(await scene.onServer('refs/heads/main'), scene.base);
});
