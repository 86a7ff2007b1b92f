import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { quarantineIn } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { type Pause, pauseAfter } from '../support/pause.ts';
import type { Person } from '../support/person.ts';
import type { Answer } from '../support/process.ts';

const packBytes = 1024 * 1024;
const house = await House.open(t);
const { admin } = house;

interface PausedPush {
  readonly pause: Pause;
  readonly ended: Promise<Answer>;
  /** The oid that main was to get. */
  readonly wanted: string;
  /** Of the bare repository. */
  readonly directory: string;
}

/** A push that the server has taken in but for the last tenth of its pack, which doesn't compress. */
async function pausedPush(
  t: Test,
  person: Person,
  repo: string,
  refs: readonly string[] = ['main'],
): Promise<PausedPush> {
  const work = await person.worktree(`work-${repo.replace('/', '-')}`);
  writeFileSync(join(work, 'noise'), randomBytes(packBytes));
  await person.git(['add', 'noise'], { cwd: work });
  await person.git(['commit', '-q', '-m', 'noise'], { cwd: work });
  const pause = await pauseAfter(t, person, Math.floor(0.9 * packBytes));
  const ended = person.git(['push', person.url(repo), ...refs], { cwd: work, env: pause.env });
  await Promise.race([
    pause.reached,
    ended.then(({ stderr }) => Promise.reject(new Error(stderr))),
  ]);
  const directory = join(house.dataDir, 'repositories', `${repo}.git`);
  await quarantineIn(directory);
  const wanted = (await person.git(['rev-parse', 'HEAD'], { cwd: work })).stdout.trim();
  return { pause, ended, wanted, directory };
}

/** A user who may write to a repository of the admin's that has one commit. */
async function writer(name: string): Promise<{ person: Person; repo: string; tip: string }> {
  const person = await house.person(name);
  const repo = `ada/for-${name}`;
  await admin.ssh(['init', repo]);
  await admin.ssh(['repo', 'access', 'grant', repo, name, 'write']);
  const first = await person.worktree('first');
  await person.git(['push', '-q', person.url(repo), 'main'], { cwd: first });
  return { person, repo, tip: await tipOf(repo) };
}

async function tipOf(repo: string): Promise<string> {
  const { stdout } = await admin.git(['ls-remote', admin.url(repo), 'refs/heads/main']);
  return stdout.split('\t')[0] ?? '';
}

async function lastPush(repo: string): Promise<{ outcome: string; detail: object }> {
  const words = ['audit', 'list', '--action', 'git-receive-pack', '--limit', '200', '--json'];
  const rows: { target: string; outcome: string; detail: object }[] = JSON.parse(
    (await house.operator(words)).stdout,
  );
  const found = rows.find(({ target }) => target === repo);
  if (found === undefined) throw new Error(`no push to ${repo} in the record`);
  return found;
}

function leftOvers(directory: string): string[] {
  return readdirSync(join(directory, 'objects')).filter((name) => name.startsWith('tmp_'));
}

// It takes the 30 s of the rule, so it begins first and the others go on meanwhile.
const slow = await (async () => {
  const { person, repo } = await writer('sam');
  const push = await pausedPush(t, person, repo, ['HEAD:refs/heads/other']);
  const began = Date.now();
  const set = admin.ssh(['repo', 'set', repo, '--visibility', 'public']);
  const renamed = admin.ssh(['repo', 'rename', repo, 'renamed']);
  return {
    repo,
    push,
    set: set.then((answer) => ({ ...answer, ms: Date.now() - began })),
    renamed: renamed.then((answer) => ({ ...answer, ms: Date.now() - began })),
  };
})();

t.test('S11 / test 7: a grant that ends while the pack streams is gone at its end', async (t) => {
  const { person, repo, tip } = await writer('bo');
  const push = await pausedPush(t, person, repo, ['+main']);

  await admin.ssh(['repo', 'access', 'grant', repo, 'bo', 'read']);
  push.pause.resume();
  const { status, stderr } = await push.ended;

  t.equal(status, 1);
  t.match(stderr, /! \[remote rejected\] main -> main \(ada\/for-bo: you may read it, not write/);
  t.equal(await tipOf(repo), tip, 'the ref has not moved');
  t.same(leftOvers(push.directory), []);
  t.equal((await admin.git(['cat-file', '-e', push.wanted], { cwd: push.directory })).status, 1);
  t.match(await lastPush(repo), { outcome: 'denied', detail: { refs: [] } });
});

t.test('S11 / test 7: a rule that comes while the pack streams holds at its end', async (t) => {
  const { person, repo, tip } = await writer('gil');
  const cases: [string, RegExp][] = [
    // What only the objects could tell is not found out any more, and so is no yes.
    [`repo protect ${repo}`, /\(the rules of the repository changed meanwhile\)/],
    [`repo rules add ${repo} main --deny update`, /\(update refused by rule 2 of ada\/for-gil/],
  ];
  for (const [line, why] of cases) {
    const push = await pausedPush(t, person, repo, ['+main']);
    await admin.ssh(line);
    push.pause.resume();
    const { status, stderr } = await push.ended;
    t.equal(status, 1);
    t.match(stderr, why);
    t.equal(await tipOf(repo), tip, 'the ref has not moved');
    t.same(leftOvers(push.directory), []);
    if (line.startsWith('repo protect')) await admin.ssh(`repo rules remove ${repo} 1 --yes`);
  }
});

t.test('S11 / test 7: a right to create that ends leaves no repository', async (t) => {
  const person = await house.person('cy');
  await admin.ssh('org create acme');
  await admin.ssh('org member add acme cy --role admin');
  const push = await pausedPush(t, person, 'acme/new');

  await admin.ssh('org member role acme cy member');
  push.pause.resume();
  const { status, stderr } = await push.ended;

  t.equal(status, 1);
  t.match(stderr, /! \[remote rejected\] main -> main \(acme\/new: you may read it, not write/);
  t.notOk(existsSync(push.directory), 'nothing on disk');
  t.same(JSON.parse((await house.operator('list acme/* --json')).stdout), [], 'nor on record');
  t.match(await lastPush('acme/new'), { outcome: 'denied' });
});

t.test('S11 / test 7: revoking the key ends the push that it began', async (t) => {
  const { person, repo, tip } = await writer('dan');
  const push = await pausedPush(t, person, repo, ['+main']);

  const began = Date.now();
  await house.operator(['sshkey', 'revoke', person.key.fingerprint, '--user', 'dan', '--yes']);
  const { status, stderr } = await push.ended;

  t.ok(Date.now() - began < 5000, 'at once, though the client still waits');
  t.not(status, 0);
  t.match(stderr, /the key was revoked/);
  t.equal(await tipOf(repo), tip, 'the ref has not moved');
  t.same(leftOvers(push.directory), []);
  t.match(await lastPush(repo), { outcome: /interrupted|denied/ });
  push.pause.resume();
});

t.test('S11 / test 7: disabling the user ends a push, also one that creates', async (t) => {
  const person = await house.person('eve');
  const push = await pausedPush(t, person, 'eve/new');

  await house.operator('user disable eve');
  const { status, stderr } = await push.ended;

  t.not(status, 0);
  t.match(stderr, /the account eve is disabled/);
  await house.operator('user enable eve');
  t.match(await person.ssh('list'), { status: 0, stdout: '' });
  t.notOk(existsSync(push.directory));
  push.pause.resume();
});

t.test('S11 / test 7: visibility that is to change meanwhile waits for the push', async (t) => {
  const { person, repo } = await writer('flo');
  const push = await pausedPush(t, person, repo, ['+main']);

  const set = house.operator(['repo', 'set', repo, '--visibility', 'public']);
  // The record is open when the command waits; only then the push may go on.
  await recordOpen('repo set', repo);
  push.pause.resume();

  t.match(await push.ended, { status: 0 }, 'its right was not touched');
  t.match(await set, { status: 0 });
  t.equal(await tipOf(repo), push.wanted);
  t.match(JSON.parse((await admin.ssh(['show', repo, '--json'])).stdout), { visibility: 'public' });
});

t.test('S11 what waited for a push is decided again: a right that ended is gone', async (t) => {
  const { person, repo } = await writer('ian');
  const keeper = await house.person('kim');
  await admin.ssh(['repo', 'access', 'grant', repo, 'kim', 'admin']);
  const push = await pausedPush(t, person, repo, ['+main']);

  const set = keeper.ssh(['repo', 'set', repo, '--visibility', 'public']);
  await recordOpen('repo set', repo);
  await admin.ssh(['repo', 'access', 'revoke', repo, 'kim']);
  push.pause.resume();

  t.match(await push.ended, { status: 0 });
  t.match(await set, { status: 3, stdout: '', stderr: /no such repository, or not yours to see/ });
  t.match(JSON.parse((await admin.ssh(['show', repo, '--json'])).stdout), {
    visibility: 'private',
  });
});

t.test('S11 / test 7: what is archived while the pack streams gets no push', async (t) => {
  const { person, repo, tip } = await writer('jo');
  const push = await pausedPush(t, person, repo, ['+main']);

  t.match(await admin.ssh(['repo', 'archive', repo]), { status: 0 });
  push.pause.resume();
  const { status, stderr } = await push.ended;

  t.equal(status, 1);
  t.match(stderr, /! \[remote rejected\] main -> main \(ada\/for-jo: the repository is archived/);
  t.equal(await tipOf(repo), tip, 'the ref has not moved');
  t.same(leftOvers(push.directory), []);
});

t.test('S11 / test 7: a rename waits for the push, which goes where it was going', async (t) => {
  const { person, repo } = await writer('hal');
  const push = await pausedPush(t, person, repo, ['+main']);

  const renamed = house.operator(['repo', 'rename', repo, 'hals']);
  await recordOpen('repo rename', repo);
  push.pause.resume();

  t.match(await push.ended, { status: 0 });
  t.match(await renamed, { status: 0 });
  t.equal(await tipOf('ada/hals'), push.wanted);
  t.equal(await tipOf(repo), push.wanted, 'by the old name, too');
});

async function recordOpen(action: string, target: string): Promise<void> {
  for (;;) {
    const { stdout } = await admin.ssh(['audit', 'list', '--action', action, '--json']);
    const rows: { target: string; outcome: string }[] = JSON.parse(stdout);
    if (rows.some((row) => row.target === target && row.outcome === 'open')) return;
  }
}

t.test('S11 / test 7: what waits 30 s for a push in vain ends as unavailable', async (t) => {
  const { repo, push } = slow;
  const set = await slow.set;

  t.match(set, { status: 6, stderr: /in use by other requests for 30 s\nhint: try again/ });
  t.ok(set.ms >= 29_000 && set.ms < 45_000, `after ${set.ms} ms`);
  const renamed = await slow.renamed;
  t.match(renamed, { status: 6, stderr: /in use by other requests for 30 s\nhint: try again/ });
  t.ok(renamed.ms >= 29_000 && renamed.ms < 45_000, `after ${renamed.ms} ms`);
  t.ok(existsSync(push.directory), 'it is where it was');
  push.pause.resume();
  t.match(await push.ended, { status: 0 });
  t.match(JSON.parse((await admin.ssh(['show', repo, '--json'])).stdout), {
    visibility: 'private',
  });
});
