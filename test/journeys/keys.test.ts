import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { Follower } from '../support/follower.ts';
import { House } from '../support/house.ts';
import { asJson, done, proofOf, verifyKey } from '../support/keys.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';

const house = await House.open(t);

/** Does the same for many, ten at a time: more connections that are not signed in yet would be over a limit. */
async function forEach<T>(all: readonly T[], act: (each: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < all.length; from += 10) {
    await Promise.all(all.slice(from, from + 10).map(act));
  }
}

t.test('forty users come from a directory; again, and over SSH, nothing changes', async (t) => {
  const dir = join(house.folder, 'keydir');
  mkdirSync(join(dir, 'sub', 'deeper'), { recursive: true });
  for (let i = 1; i <= 40; i++) {
    const folder = i % 3 === 0 ? 'sub' : i % 3 === 1 ? '.' : 'sub/deeper';
    const { publicLine } = generateEd25519(`u${i}@home`);
    writeFileSync(join(dir, folder, `u${i}.pub`), `${publicLine}\n`);
  }
  const laptop = await house.stranger('u1-laptop');
  copyFileSync(laptop.key.publicPath, join(dir, 'u1@laptop.pub'));
  writeFileSync(join(dir, 'README'), 'not a key');
  mkdirSync(join(dir, '.git'));
  writeFileSync(join(dir, '.git', 'x.pub'), 'not a key either');
  /** What must not change; when somebody was last seen changes by itself. */
  const people = async () =>
    (await asJson(house.operator('user list --json'))).map(
      ({ last_seen_at: _, ...user }: { last_seen_at: string }) => user,
    );
  const before = await people();

  const rehearsal = await asJson(house.operator(['user', 'import', dir, '--dry-run', '--json']));
  t.match(rehearsal, { changed: true, unchanged: 0, ignored: 2 });
  t.strictSame(await people(), before, 'a dry run changes nothing');
  const first = await house.operator(['user', 'import', dir, '--json']);
  const after = await people();
  const again = await house.operator(['user', 'import', dir, '--json']);
  const { bytes } = await must('tar', ['-C', dir, '-cf', '-', '.']);
  const overSsh = await house.admin.ssh('user import - --json', { stdin: bytes });

  const told = JSON.parse(first.stdout);
  t.same(told, rehearsal, 'as the dry run said');
  t.equal(told.users.length, 40);
  t.equal(told.keys.length, 41);
  t.match(first.stderr, /2 files are not called NAME\.pub: passed over/);
  for (const { stdout } of [again, overSsh]) {
    t.same(JSON.parse(stdout), { changed: false, users: [], keys: [], unchanged: 41, ignored: 2 });
  }
  t.strictSame(await people(), after, 'run again, it changes nothing');
  t.equal(after.length, before.length + 40);
  t.match(
    after.find(({ name }: { name: string }) => name === 'u1'),
    { keys: 2 },
  );
  t.match(await laptop.ssh('whoami'), { status: 0, stdout: /^u1\nkey: SHA256:.* \(laptop\)/ });
  const recorded = await house.operator(['audit', 'list', '--action', 'user import', '--json']);
  t.equal(JSON.parse(recorded.stdout).length, 4, 'each run is on record');
});

t.test('three teams on thirty repositories, and one CI key for all of them', async (t) => {
  const bo = await house.person('bo');
  const teams = ['front', 'back', 'ops'] as const;
  const people = new Map<string, Person>();
  await done(bo.ssh('org create acme'));
  await done(bo.ssh('org set acme --member-right none'));
  for (const team of teams) {
    const person = await house.person(`${team}-dev`);
    people.set(team, person);
    await done(bo.ssh(`org member add acme ${person.name}`));
    await done(bo.ssh(`org team add acme ${team} ${person.name}`));
  }
  const thirty = Array.from({ length: 30 }, (_, nth) => ({
    repo: `acme/r${nth}`,
    team: teams[Math.floor(nth / 10)] ?? 'ops',
  }));
  await forEach(thirty, ({ repo }) => done(bo.ssh(`init ${repo}`)));
  await forEach(thirty, ({ repo, team }) =>
    done(bo.ssh(`repo access grant ${repo} team:acme/${team} write`)),
  );
  const ci = await house.stranger('ci');
  const flags = thirty.flatMap(({ repo }) => ['--repo', repo]);
  const words = ['sshkey', 'add', '-', ...flags, '--right', 'write', '--title', 'CI', '--json'];
  const { fingerprint, line } = ci.key;

  t.match(await asJson(bo.ssh(words, { stdin: line })), { changed: true, state: 'pending' });
  t.match(await ci.git(['ls-remote', ci.url('acme/r0')]), { stderr: /Permission denied/ });
  await verifyKey(bo, ci.key);
  t.match(
    await asJson(bo.ssh(words, { stdin: line })),
    { changed: false, state: 'active' },
    'again: as before',
  );

  const work = await ci.worktree();
  for (const repo of ['acme/r0', 'acme/r15', 'acme/r29']) {
    t.match(await ci.git(['push', ci.url(repo), 'main'], { cwd: work }), { status: 0 }, repo);
  }
  for (const team of teams) {
    const person = people.get(team) ?? bo;
    const own = thirty.filter((each) => each.team === team).map(({ repo }) => repo);
    const listed = await asJson(person.ssh('list acme/* --json'));
    const names = listed.map(({ name }: { name: string }) => name);
    t.strictSame(names, own.sort(), `${team} reaches its ten`);
    const push = ['push', person.url(own[0] ?? ''), `main:${team}`];
    t.match(await person.git(push, { cwd: work }), { status: 0 }, team);
  }
  for (const repo of ['acme/none', 'acme/new', 'bo/own', 'ci/new']) {
    t.match(
      await ci.git(['push', ci.url(repo), 'main'], { cwd: work }),
      { status: 128, stderr: `${repo}: no such repository, or not yours to see` },
      `${repo}: the key creates nothing`,
    );
  }
  t.strictSame(await asJson(bo.ssh('repo access list acme/r3 --json')), [
    { who: `key:${fingerprint}`, right: 'write', via: 'acme/r3' },
    { who: 'team:acme/front', right: 'write', via: 'acme/r3' },
  ]);
  t.match(await asJson(bo.ssh('repo access list acme/r3 --effective --json')), [
    { who: house.admin.name, right: 'owner', via: 'site admin' },
    { who: 'bo', right: 'owner', via: 'owner of acme' },
    { who: 'front-dev', right: 'write', via: 'write by a grant to team front' },
    { who: `key:${fingerprint}`, right: 'write', via: 'deploy key' },
  ]);
  t.match((await asJson(bo.ssh('show acme/r3 --json'))).keys, [
    { fingerprint, title: 'CI', state: 'active', right: 'write', refs: null },
  ]);
  t.match(await asJson(bo.ssh('sshkey list --repo acme/r3 --json')), [
    { fingerprint, owner: `key:${fingerprint}`, state: 'active', right: 'write' },
  ]);
  t.match(await done(ci.ssh([])), /you reach: 30 repositories/);
  t.notMatch(await done(ci.ssh([])), /init NAME/, 'it is told of nothing that it may not');
  t.match(await asJson(ci.ssh('whoami --json')), {
    user: `key:${fingerprint}`,
    admin: false,
    key_title: 'CI',
  });
  t.match(await asJson(bo.ssh(`audit list --repo acme/r29 --key ${fingerprint} --json`)), [
    { principal: `key:${fingerprint}`, action: 'git-receive-pack', outcome: 'ok' },
  ]);

  await done(bo.ssh('init acme/r30'));
  t.match(await ci.git(['ls-remote', ci.url('acme/r30')]), { status: 128 }, 'not yet');
  await done(bo.ssh(`repo access grant acme/r30 key:${fingerprint} read`));
  t.match(await ci.git(['ls-remote', ci.url('acme/r30')]), { status: 0 }, 'one more, by its WHO');
  await done(bo.ssh(`sshkey revoke ${fingerprint} --yes`));
  t.match(await ci.git(['ls-remote', ci.url('acme/r0')]), { stderr: /Permission denied/ });
  t.same(await asJson(bo.ssh('sshkey list --repo acme/r3 --json')), [], 'and all thirty know');
});

t.test(
  'test 6: a stolen laptop: what it has open ends within a second, and what it added ends too',
  async (t) => {
    const dan = await house.person('dan');
    const [desk, thief, robot] = [
      await house.stranger('dan-desk'),
      await house.stranger('thief'),
      await house.stranger('robot'),
    ];
    await done(house.operator(['sshkey', 'add', desk.key.publicPath, '--user', 'dan']));
    const work = await dan.worktree();
    const push = (who: Person, branch: string) =>
      done(who.git(['push', '-q', who.url('dan/app'), `main:${branch}`], { cwd: work }));
    await push(dan, 'main');
    await push(desk, 'good');
    await push(dan, 'evil');
    await done(dan.ssh('sshkey add -', { stdin: thief.key.line }));
    await verifyKey(dan, thief.key);
    await push(thief, 'worse');
    await done(thief.ssh('sshkey add - --repo dan/app --right write', { stdin: robot.key.line }));
    const proof = await proofOf(thief, robot.key);
    await done(thief.ssh(`sshkey verify ${robot.key.fingerprint}`, { stdin: proof }));
    await push(robot, 'worst');
    const revoke = `sshkey revoke ${dan.key.fingerprint} --since 1d --json`;
    const rehearsal = await asJson(desk.ssh(`${revoke} --dry-run`));
    t.match(rehearsal, { changed: true, revoked: 3, along: 2 });

    // One connection that stays open, with a clone that runs and events that are followed.
    const options = ['ControlMaster=auto', `ControlPath=${join(dan.home, 'cm')}`].flatMap(
      (option) => ['-o', option],
    );
    const follower = Follower.ssh(t, house, {
      person: dan,
      words: 'events --follow --since 0',
      options,
    });
    await follower.reads(() => true);
    const clone = Follower.ssh(t, house, {
      person: dan,
      words: "git-upload-pack 'dan/app'",
      options,
      reads: false,
    });
    const robots = Follower.ssh(t, house, {
      person: robot,
      words: "git-upload-pack 'dan/app'",
      reads: false,
    });
    await running(['git-upload-pack', 'git-upload-pack', 'events']);
    t.match(await dan.ssh('whoami', { options }), { status: 0 });

    const told = await asJson(desk.ssh(`${revoke} --yes`));
    const revokedMs = performance.now();
    const next = await dan.ssh('whoami', { options });

    t.same(told, rehearsal, 'as the dry run said');
    const keys = told.keys.map(({ fingerprint }: { fingerprint: string }) => fingerprint);
    t.same(keys.sort(), [dan, thief, robot].map(({ key }) => key.fingerprint).sort());
    const owned = told.keys.map((key: { owner: string; along: boolean }) => [key.owner, key.along]);
    t.same(owned.sort(), [
      ['dan', false],
      ['dan', true],
      [`key:${robot.key.fingerprint}`, true],
    ]);
    const pushes: { ref: string; principal: string; repo: string }[] = told.pushes;
    t.same(
      pushes.map(({ ref }) => ref),
      ['worst', 'worse', 'evil', 'main'].map((branch) => `refs/heads/${branch}`),
      'the newest first, and not those of the desk',
    );
    t.match(pushes, [
      { repo: 'dan/app', principal: `key:${robot.key.fingerprint}` },
      { principal: 'user:dan', old: /^0{40}$/ },
    ]);
    for (const open of [follower, clone, robots]) {
      const { status, atMs } = await open.ended;
      t.not(status, 0);
      // What ssh takes to go, on a busy machine, is no part of the second.
      t.ok(atMs - revokedMs < 2000, `ended after ${Math.round(atMs - revokedMs)} ms`);
    }
    t.not(next.status, 0, 'nothing more on a connection that is open');
    t.equal(next.stdout, '');
    for (const gone of [dan, thief, robot]) {
      t.match(await gone.ssh('whoami'), { status: 255, stderr: /Permission denied/ }, gone.name);
    }
    t.match(await desk.ssh('whoami'), { status: 0, stdout: /^dan\n/ });
    const again = await asJson(desk.ssh(`${revoke} --yes`));
    t.match(again, { changed: false, revoked: 0 }, 'done already is done');
    t.equal(again.pushes.length, 4, 'and the pushes are told once more');
    t.same((await asJson(desk.ssh(`${revoke} --yes`.replace('--since 1d ', '')))).pushes, []);
    t.match(await desk.ssh('sshkey add -', { stdin: dan.key.line }), { status: 5 }, 'never again');
  },
);

/** Waits until the server runs requests of these actions. */
async function running(actions: readonly string[]): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const all: { action: string | null }[] = await asJson(house.admin.ssh('sessions list --json'));
    const found = all.flatMap(({ action }) =>
      action !== null && actions.includes(action) ? [action] : [],
    );
    if (found.length >= actions.length) return;
  }
}
