import { open } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { initBare } from '../../src/programs/bare.ts';
import { readRef } from '../../src/programs/refs.ts';
import { makeHouse, openHub, remote } from './hub.ts';
import { door, leftIn, makeWork, noise } from './raw.ts';

t.test('a person pushes and clones with every protocol version', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  for (const version of ['0', '1', '2']) {
    const tip = await work.commit(`version ${version}`);
    const protocol = ['-c', `protocol.version=${version}`];

    const pushed = await hub.client(work.directory, ...protocol, 'push', remote, 'main');
    const copy = join(house.root, `copy${version}`);
    const cloned = await hub.client(house.root, ...protocol, 'clone', '-q', remote, copy);

    t.equal(pushed.status, 0, pushed.stderr);
    t.equal(await readRef(house.repo, 'refs/heads/main'), tip);
    t.equal(cloned.status, 0, cloned.stderr);
    t.equal((await hub.client(copy, 'rev-parse', 'HEAD')).stdout.trim(), tip);
    t.equal((await hub.client(copy, 'fsck', '--strict')).status, 0);
  }
  t.same(house.core.asked.slice(0, 4), [
    'decide refs/heads/main',
    'admit refs/heads/main',
    'decide refs/heads/main',
    'settle',
  ]);
  t.same(hub.ended, [0, 0, 0, 0, 0, 0]);
});

t.test('create, update, force and delete reach the core with old and new oid', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  const push = (...what: string[]) => hub.client(work.directory, 'push', remote, ...what);
  const one = await work.commit('one');
  await push('main');
  const two = await work.commit('two');
  await push('main', 'main:refs/tags/v1', 'main:refs/notes/x');
  await work.text('reset', '-q', '--hard', one);
  const other = await work.commit('other');

  t.equal((await push('main')).status, 1, 'git itself asks for force');
  t.equal((await push('+main')).status, 0);
  t.equal((await push(':refs/tags/v1')).status, 0);

  const nothing = '0'.repeat(40);
  t.same(
    house.core.settled.map(({ command, refused }) => [
      command.ref,
      command.old,
      command.new,
      refused,
    ]),
    [
      ['refs/heads/main', nothing, one, undefined],
      ['refs/heads/main', one, two, undefined],
      ['refs/tags/v1', nothing, two, undefined],
      ['refs/notes/x', nothing, two, undefined],
      ['refs/heads/main', two, other, undefined],
      ['refs/tags/v1', two, nothing, undefined],
    ],
  );
  t.equal(await readRef(house.repo, 'refs/tags/v1'), undefined);
});

t.test('a refused ref is told by its reason, the others of the push go through', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  const tip = await work.commit('one');
  house.core.decide = (commands) =>
    commands.map(({ ref }) => (ref === 'refs/heads/b' ? 'rule 3 of acme/app' : undefined));
  house.core.settle = async () => ['a line from the core'];

  const pushed = await hub.client(
    work.directory,
    'push',
    remote,
    'main:a',
    'main:b',
    'main:c',
    'main:refs/replace/x',
  );

  t.equal(pushed.status, 1);
  t.match(pushed.stderr, /\[new branch\] +main -> a/);
  t.match(pushed.stderr, /\[remote rejected\] main -> b \(rule 3 of acme\/app\)/);
  t.match(pushed.stderr, /\[new branch\] +main -> c/);
  t.match(pushed.stderr, /refs\/replace\/x \(only refs\/heads\/, refs\/tags\/ and refs\/notes\//);
  t.match(pushed.stderr, /remote: a line from the core/);
  t.equal(await readRef(house.repo, 'refs/heads/a'), tip);
  t.equal(await readRef(house.repo, 'refs/heads/b'), undefined);
  t.same(
    house.core.settled.map(({ command }) => command.ref),
    ['refs/heads/a', 'refs/heads/c'],
  );
});

t.test('of an atomic push one refusal is everybody’s, and git is not started', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  await work.commit('one');
  house.core.decide = (commands) =>
    commands.map(({ ref }) => (ref === 'refs/heads/b' ? 'no' : undefined));

  const pushed = await hub.client(work.directory, 'push', '--atomic', remote, 'main:a', 'main:b');

  t.equal(pushed.status, 1);
  t.match(pushed.stderr, /main -> a \(atomic push: another ref was refused\)/);
  t.match(pushed.stderr, /main -> b \(no\)/);
  t.same(house.core.asked, ['decide refs/heads/a refs/heads/b']);
  t.equal(await readRef(house.repo, 'refs/heads/a'), undefined);
  t.equal(
    (await hub.client(work.directory, 'push', '--atomic', remote, 'main:a', 'main:c')).status,
    0,
  );
});

t.test('a refused client that still sends a big pack reads why', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  await work.commit('big', noise(20_000_000));
  house.core.decide = (commands) => commands.map(() => 'not today');

  const pushed = await hub.client(work.directory, 'push', remote, 'main');

  t.match(pushed.stderr, /\[remote rejected\] main -> main \(not today\)/);
  t.notMatch(pushed.stderr, /hung up|disconnect/);
  t.same(hub.ended, [0]);
});

t.test('push options and quiet pushes are understood', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  await work.commit('one');

  const pushed = await hub.client(
    work.directory,
    'push',
    '-q',
    '-o',
    'ci.skip',
    '-o',
    'second=ü',
    remote,
    'main',
  );

  t.equal(pushed.status, 0, pushed.stderr);
  t.equal(pushed.stderr, '');
});

t.test('a push may create the repository that it goes to', async (t) => {
  const house = await makeHouse(t);
  const empty = join(house.root, 'empty.git');
  await initBare(empty, { defaultBranch: 'main', repoId: 'template' });
  const hub = await openHub(t, house, empty);
  const work = await makeWork(house);
  const tip = await work.commit('one');
  const made = join(house.root, 'repositories', 'acme', 'new.git');
  house.core.admit = async () => {
    await initBare(made, { defaultBranch: 'main', repoId: 'new' });
    return made;
  };

  const pushed = await hub.client(work.directory, 'push', remote, 'main');

  t.equal(pushed.status, 0, pushed.stderr);
  t.equal(await readRef(made, 'refs/heads/main'), tip);
  t.equal(await readRef(empty, 'refs/heads/main'), undefined);
});

t.test('what git itself refuses is settled as refused and told with git’s reason', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  await work.commit('one');
  await hub.client(work.directory, 'push', remote, 'main');
  house.core.settled.length = 0;

  const pushed = await hub.client(work.directory, 'push', remote, 'main:main/below', ':main');

  t.match(pushed.stderr, /main\/below \(.+\)/);
  t.match(pushed.stderr, /main \(deletion of the current branch prohibited\)/);
  t.notMatch(pushed.stderr, new RegExp(house.root), 'no path of the server');
  t.equal(house.core.settled.filter(({ refused }) => refused !== undefined).length, 2);
});

t.test('a push that moves nothing asks nothing of the core', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  await work.commit('one');
  await hub.client(work.directory, 'push', remote, 'main');
  house.core.asked.length = 0;

  const again = await hub.client(work.directory, 'push', remote, 'main');
  const tried = await hub.client(work.directory, 'push', '--dry-run', remote, 'main:new');

  t.match([again.status, tried.status], [0, 0]);
  t.same(house.core.asked, []);
  t.same(hub.ended, [0, 0, 0]);
});

t.test('shallow and partial clones work, and a shallow clone can push', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  for (const message of ['one', 'two', 'three']) await work.commit(message);
  await hub.client(work.directory, 'push', remote, 'main');
  const shallow = join(house.root, 'shallow');
  const partial = join(house.root, 'partial');

  const cut = await hub.client(house.root, 'clone', '-q', '--depth=1', remote, shallow);
  const sparse = await hub.client(house.root, 'clone', '-q', '--filter=blob:none', remote, partial);

  t.equal(cut.status, 0, cut.stderr);
  t.equal(sparse.status, 0, sparse.stderr);
  await hub.client(shallow, 'commit', '-q', '--allow-empty', '-m', 'four');
  const pushed = await hub.client(shallow, 'push', remote, 'HEAD:main');

  t.equal(pushed.status, 0, pushed.stderr);
  t.equal((await hub.client(shallow, 'rev-list', '--count', 'HEAD')).stdout.trim(), '2');
});

t.test('a client that is killed while it sends leaves nothing', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  await work.commit('big', noise(20_000_000));
  const asked = door();
  const killed = door();
  house.core.pause = async () => {
    asked.open();
    await killed.opened;
  };
  const end = hub.next();
  const client = hub.launch(work.directory, 'push', remote, 'main');

  await asked.opened;
  process.kill(-(client.pid ?? 0), 'SIGKILL');
  killed.open();
  await end;

  t.equal(house.core.settled.filter(({ refused }) => refused === undefined).length, 0);
  t.same(await leftIn(house), []);
  t.equal(await readRef(house.repo, 'refs/heads/main'), undefined);
});

t.test('a pack of 100 MB passes through without being held in memory', async (t) => {
  const house = await makeHouse(t);
  const hub = await openHub(t, house);
  const work = await makeWork(house);
  const file = await open(join(work.directory, 'big'), 'w');
  const block = noise(1_000_000);
  for (let at = 0; at < 100; at++) {
    // Another block each time: equal ones would be packed into one.
    block.writeUInt32LE(at);
    await file.write(block.map((byte) => byte ^ at));
  }
  await file.close();
  await work.text('config', 'core.compression', '0');
  await work.text('add', 'big');
  await work.text('commit', '-q', '-m', 'big');
  const tip = await work.text('rev-parse', 'HEAD');
  const before = process.memoryUsage().rss;
  let most = before;
  const sampler = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 10);

  const pushed = await hub.client(work.directory, 'push', '-q', remote, 'main');
  const middle = most;
  const cloned = await hub.client(house.root, 'clone', '-q', '--bare', remote, 'copy');
  clearInterval(sampler);

  t.equal(pushed.status, 0, pushed.stderr);
  t.equal(cloned.status, 0, cloned.stderr);
  t.equal(await readRef(house.repo, 'refs/heads/main'), tip);
  t.equal(await readRef(join(house.root, 'copy'), 'refs/heads/main'), tip);
  const growth = Math.round((most - before) / 1e6);
  t.ok(growth < 40, `grew by ${growth} MB, in the push ${Math.round((middle - before) / 1e6)}`);
});
