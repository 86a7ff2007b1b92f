import t from 'tap';
import { doorOf, json, refused } from '../commands/scenario.ts';
import { openWorld, Scene } from './scene.ts';

const world = await openWorld(t);
const { house, ana, bo } = world;
const zero = /^0{40}$/;
const ask = (line: string) => json(doorOf(ana), line);

t.test(
  'a branch is merged as git merge does it: up to date, forward, or by a commit',
  async (t) => {
    const scene = await Scene.open(world, 'app1');
    const { name, base } = scene;
    t.strictSame(await ask(`merge ${name} topic`), {
      changed: false,
      source: 'topic',
      target: 'main',
      result: 'up-to-date',
      conflicts: [],
      repo: name,
      commit: base,
    });

    const ahead = await scene.commit({ c: 'c\n' }, 'ahead');
    await scene.git('push', '-q', 'origin', 'HEAD:topic');
    t.match(await ask(`repo merge ${name} topic --mode ff-only`), {
      changed: true,
      result: 'fast-forward',
      commit: ahead,
    });
    t.equal(await scene.onServer('refs/heads/main'), ahead);

    const { main, topic } = await scene.diverge({ b: 'ours\n' }, { d: 'theirs\n' });
    const merged = (await ask(`merge ${name} topic`)) as { commit: string };
    t.match(merged, { changed: true, result: 'merged', source: 'topic', target: 'main' });
    const fields = ['repo', 'source', 'target', 'result', 'commit', 'conflicts'];
    t.strictSame(Object.keys(merged), ['changed', ...fields], 'in the order that is promised');
    await scene.git('fetch', '-q', 'origin');
    t.equal(await scene.onServer('refs/heads/main'), merged.commit);
    t.equal(
      await scene.git('log', '-1', '--format=%P|%an %ae|%cn %ce|%B', merged.commit),
      `${main} ${topic}|ana ana@acme.example|ana ana@acme.example|Merge branch 'topic' into main`,
    );
    t.equal(await scene.git('show', `${merged.commit}:b`), 'ours');
    t.equal(await scene.git('show', `${merged.commit}:d`), 'theirs');
  },
);

t.test(
  'a squash is one commit, a rebase keeps authors and messages, tags can be merged',
  async (t) => {
    const scene = await Scene.open(world, 'app2');
    const { name, base } = scene;
    const { main } = await scene.diverge({ b: 'ours\n' }, { a: 'one\ntwo\nthree\nfour\n' });
    await scene.git('checkout', '-q', 'topic');
    await scene.git(
      '-c',
      'user.name=x',
      'commit',
      '-q',
      '--allow-empty',
      '--author',
      'Zoë <z@x>',
      '-m',
      'nothing',
    );
    await scene.commit({ c: 'c\n' }, 'add c');
    await scene.git('tag', '-a', 'v1', '-m', 'first');
    await scene.git('push', '-q', 'origin', 'topic', 'v1', `${base}:refs/heads/other`);
    await scene.git('push', '-q', 'origin', `${main}:refs/heads/main2`, `${main}:refs/heads/main3`);

    const squashed = (await ask(`merge ${name} topic --mode squash`)) as { commit: string };
    t.match(squashed, { result: 'squashed', changed: true });
    await scene.git('fetch', '-q', 'origin');
    t.match(
      await scene.git('log', '-1', '--format=%P|%an|%cn|%B', squashed.commit),
      new RegExp(
        `^${main}\\|ana\\|ana\\|Squashed commit of the following:\n\ncommit [0-9a-f]{40}\n[^]*add c`,
      ),
    );
    t.match(await ask(`merge ${name} topic --mode squash`), {
      result: 'up-to-date',
      changed: false,
    });

    const rebased = (await ask(`merge ${name} v1 --into main2 --mode rebase`)) as {
      commit: string;
    };
    t.match(rebased, { result: 'rebased', source: 'v1', target: 'main2' });
    await scene.git('fetch', '-q', 'origin');
    t.strictSame(
      (await scene.git('log', '--format=%an %ae|%cn %ce|%s', `${main}..${rebased.commit}`)).split(
        '\n',
      ),
      [
        'ana ana@example.org|ana ana@acme.example|add c',
        'Zoë z@x|ana ana@acme.example|nothing',
        'ana ana@example.org|ana ana@acme.example|theirs',
      ],
    );

    const merged = (await ask(`merge ${name} refs/tags/v1 --into main3`)) as { commit: string };
    await scene.git('fetch', '-q', 'origin');
    t.equal(
      await scene.git('log', '-1', '--format=%s', merged.commit),
      "Merge tag 'v1' into main3",
    );
    t.match(await ask(`merge ${name} v1 --into other`), { result: 'fast-forward' });
    t.equal(await scene.onServer('refs/heads/other'), await scene.git('rev-parse', 'v1^{commit}'));
  },
);

t.test('the message is one’s own, from the line or from standard input, and cleaned', async (t) => {
  const scene = await Scene.open(world, 'app3');
  const { name } = scene;
  const { main } = await scene.diverge({ b: 'ours\n' }, { c: 'theirs\n' });
  await scene.git('push', '-q', 'origin', `${main}:refs/heads/second`);
  const bodyOf = async (oid: string) => {
    await scene.git('fetch', '-q', 'origin');
    return scene.git('log', '-1', '--format=%B', oid);
  };
  const line = await ana.ssh([
    'merge',
    name,
    'topic',
    '--message',
    'Add – c  \n\n\n\nfor bo',
    '--json',
  ]);
  t.equal(await bodyOf(JSON.parse(line.stdout).commit), 'Add – c\n\nfor bo');
  const input = { stdin: '\n\nAdd c\r\n\tso\n\n\n' };
  const piped = await ask2(`merge ${name} topic --into second --message -`, input);
  t.equal(await bodyOf(piped.commit), 'Add c\n\tso');

  const bad: [string, RegExp][] = [
    ['\x1b[2J', /the message is no good: it has control characters/],
    [' \n\n', /the message is empty/],
    ['x'.repeat(70_000), /the message is no good: it is longer than 64 KB/],
    ['\xff', /./],
  ];
  for (const [stdin, why] of bad.slice(0, 3))
    t.match(await ana.ssh(`merge ${name} topic --message -`, { stdin }), refused(2, why));
  const latin = { stdin: Buffer.from([0xff, 0xfe]) };
  t.match(await ana.ssh(`merge ${name} topic --message -`, latin), refused(2, /not UTF-8/));
});

async function ask2(line: string, surroundings: { stdin: string }): Promise<{ commit: string }> {
  return (await json(doorOf(ana), line, surroundings)) as { commit: string };
}

t.test('a conflict is told by path and kind, with status 5, and leaves nothing', async (t) => {
  const scene = await Scene.open(world, 'app4');
  const { name } = scene;
  const { main, topic } = await scene.diverge(
    { a: 'ours\n', c: 'ours\n' },
    { a: 'theirs\n', c: 'x\n' },
  );
  const before = scene.files();
  const conflicts = [
    { path: 'a', kind: 'content' },
    { path: 'c', kind: 'add/add' },
  ];
  const answer = {
    changed: false,
    repo: name,
    source: 'topic',
    target: 'main',
    result: 'conflict',
    commit: null,
    conflicts,
  };

  for (const mode of ['merge', 'squash', 'rebase', 'merge --dry-run']) {
    const { status, stdout, stderr } = await ana.ssh(`merge ${name} topic --json --mode ${mode}`);
    t.equal(status, 5, mode);
    t.strictSame(JSON.parse(stdout), answer, mode);
    const error = stderr.split('\n').find((line) => line.startsWith('{')) ?? '';
    t.match(JSON.parse(error), {
      error: {
        code: 'conflict',
        message: `${name}: topic conflicts with main`,
        hint: /resolve 2 paths/,
      },
    });
  }
  t.match(await ana.ssh(`merge ${name} topic`), {
    status: 5,
    stdout: 'content\ta\nadd/add\tc\n',
    stderr:
      /^cpm: acme\/app\d+: topic conflicts with main\nhint: on your machine: git fetch, git switch topic, git merge origin\/main; resolve 2 paths, push, merge again/,
  });
  t.match(
    (await ana.ssh(`merge ${name} topic --mode rebase`)).stderr,
    new RegExp(`commit ${topic.slice(0, 7)} of topic can't be applied`),
  );
  t.equal(await scene.onServer('refs/heads/main'), main);
  t.strictSame(scene.files(), before);
  await scene.git('fsck');
});

t.test('a dry run tells what would come of it and leaves nothing', async (t) => {
  const scene = await Scene.open(world, 'app5');
  const { name } = scene;
  const { main } = await scene.diverge({ b: 'ours\n' }, { c: 'theirs\n' });
  const before = scene.files();

  for (const [mode, result] of [
    ['merge', 'merged'],
    ['squash', 'squashed'],
    ['rebase', 'rebased'],
  ]) {
    const { stdout, stderr } = await ana.ssh(`merge ${name} topic --mode ${mode} --dry-run --json`);
    t.match(JSON.parse(stdout), { changed: true, result, commit: null, conflicts: [] });
    t.match(stderr, /dry run: nothing was changed/);
  }
  t.match(await ana.ssh(`merge ${name} topic --dry-run`), {
    status: 0,
    stdout: 'topic was merged into main.\n',
  });
  t.equal(await scene.onServer('refs/heads/main'), main);
  t.strictSame(scene.files(), before);
});

t.test(
  'S13 a source is an exact branch or tag, and nothing else that git would take',
  async (t) => {
    const scene = await Scene.open(world, 'app6');
    const { name, base } = scene;
    await scene.diverge({ b: 'ours\n' }, { c: 'theirs\n' });
    await scene.git(
      'push',
      '-q',
      'origin',
      'topic:both',
      `${base}:refs/tags/both`,
      `${base}:refs/notes/x`,
    );
    await scene.git('tag', 'blob', await scene.git('rev-parse', `${base}:a`));
    await scene.git('checkout', '-q', '--orphan', 'alone');
    await scene.commit({ z: 'z\n' }, 'alone');
    await scene.git('push', '-q', 'origin', 'alone', 'blob');
    await house.operator('init acme/empty --exist-ok');
    await house.operator('repo access grant acme/empty ana write');

    const cases: [string, number, RegExp][] = [
      [`${name} nosuch`, 3, /acme\/app\d+ has no branch or tag "nosuch"/],
      [`${name} topic --into nosuch`, 3, /has no branch "nosuch"/],
      [`${name} ${base}`, 3, /has no branch or tag/],
      [`${name} ${base.slice(0, 10)}`, 3, /has no branch or tag/],
      [`${name} HEAD`, 3, /has no branch or tag "HEAD"/],
      [`${name} @`, 3, /has no branch or tag/],
      [`${name} heads/topic`, 3, /has no branch or tag/],
      [`${name} topic~1`, 2, /is not a branch or tag/],
      [`${name} topic^{commit}`, 2, /is not a branch or tag/],
      [`${name} topic@{0}`, 2, /is not a branch or tag/],
      [`${name} main..topic`, 2, /is not a branch or tag/],
      [`${name} :/theirs`, 2, /is not a branch or tag/],
      [`${name} refs/cpm/archive/${base}`, 2, /only refs\/heads\/ and refs\/tags\/ can be merged/],
      [`${name} refs/notes/x`, 2, /only refs\/heads\/ and refs\/tags\/ can be merged/],
      [`${name} -- -topic`, 2, /is not a branch or tag/],
      [`${name} topic --into refs/heads/main`, 2, /is not a branch name/],
      [`${name} topic --into v1^`, 2, /is not a branch name/],
      [`${name} topic --mode octopus`, 2, /"octopus" is not a mode/],
      [`${name} topic other`, 2, /one word too many/],
      [name, 2, /SOURCE is missing/],
      [`${name} both`, 2, /"both" is a branch and a tag/],
      [`${name} blob`, 5, /"blob" is a tag of something that is no commit/],
      [`${name} alone`, 5, /alone and main have no commit in common/],
      [`${name} alone --mode rebase`, 5, /unrelated histories are not merged/],
      [`${name} topic --mode ff-only`, 5, /main can't be fast-forwarded to topic/],
      ['acme/empty topic', 3, /has no branch or tag "topic"/],
      ['acme/nosuch topic', 3, /acme\/nosuch: no such repository/],
    ];
    for (const [line, status, why] of cases)
      t.match(await ana.ssh(`merge ${line}`), refused(status, why), line);
    t.match(
      await bo.ssh(`merge ${name} topic`),
      refused(4, /you may read it, not write \(bo, member of acme\)/, /ask .*repo access grant/),
    );
    t.match(await ask(`merge ${name} refs/heads/both`), { result: 'merged' });
  },
);

t.test('history, record and events tell of a merge by its own name', async (t) => {
  const scene = await Scene.open(world, 'app7');
  const { name } = scene;
  const { main } = await scene.diverge({ b: 'ours\n' }, { a: 'theirs\n' });
  await scene.git('push', '-q', 'origin', `${main}:refs/heads/second`);
  const { commit } = (await ask(`merge ${name} topic`)) as { commit: string };

  t.match(
    await json(
      { run: (words) => house.operator(words) },
      `audit list --repo ${name} --action merge`,
    ),
    [{ principal: 'user:ana', action: 'merge', target: name, outcome: 'ok' }],
  );
  const { stdout } = await house.operator('events');
  const last = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  t.match(last, {
    repo: name,
    ref: 'refs/heads/main',
    old: main,
    new: commit,
    principal: 'user:ana',
  });
  t.notMatch(last.old, zero);
});

t.test('S13 the rules of a push hold for a merge, and a refusal leaves nothing', async (t) => {
  const scene = await Scene.open(world, 'ruled');
  const { name } = scene;
  const { main } = await scene.diverge({ b: 'ours\n' }, { c: 'theirs\n' });
  await house.admin.ssh(`repo rules add ${name} main --deny update`);
  await scene.git('push', '-q', 'origin', `${main}:refs/heads/other`);
  const before = scene.files();

  for (const mode of ['merge', 'squash', 'rebase', 'merge --dry-run'])
    t.match(
      await ana.ssh(`merge ${name} topic --mode ${mode}`),
      refused(
        4,
        /^cpm: main: update refused by rule 1 of acme\/ruled \(no update\)/,
        /have it merged/,
      ),
      mode,
    );
  t.match(await scene.tries('push', '-q', '-o', 'merge=main', 'origin', 'topic:again'), {
    status: 0,
    stderr: /^remote: not merged: main: update refused by rule 1 of acme\/ruled/m,
  });
  t.equal(await scene.onServer('refs/heads/main'), main);
  t.strictSame(scene.files(), before);

  await house.admin.ssh(`repo rules add ${name} other --require signed`);
  t.match(
    await ana.ssh(`merge ${name} topic --into other`),
    refused(4, /^cpm: other: .* refused by rule 2 of acme\/ruled \(signed commits only\)/),
  );
  t.equal(await scene.onServer('refs/heads/other'), main);
  t.strictSame(scene.files(), before);
});
