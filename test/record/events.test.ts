import { join } from 'node:path';
import t from 'tap';
import { Follower } from '../support/follower.ts';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';

const none = '0'.repeat(40);

const house = await House.open(t, { config: 'limits:\n  idle: 2s\n' });
const { admin } = house;
const ana = await house.person('ana');
await must('init ana/app');
await must('init ada/secret');

async function must(words: string): Promise<void> {
  const { status, stderr } = await house.operator(words);
  if (status !== 0) throw new Error(`${words}: ${stderr}`);
}

function linesOf({ stdout }: { stdout: string }): Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function newest(): Promise<number> {
  return Number(linesOf(await admin.ssh('events')).at(-1)?.['seq']);
}

async function push(person: Person, work: string, refs: string[]): Promise<void> {
  const { status, stderr } = await person.git(['push', '-q', person.url('ana/app'), ...refs], {
    cwd: work,
  });
  if (status !== 0) throw new Error(stderr);
}

/** Waits until the server has the follower. */
async function begun(action: string, count = 1): Promise<Record<string, unknown>[]> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const all = JSON.parse((await admin.ssh('sessions list --json')).stdout);
    const running = all.filter((each: { action: unknown }) => each.action === action);
    if (running.length >= count) return running;
  }
}

t.test('what happens is told live at both doors, without gaps, and again later', async (t) => {
  const work = await ana.worktree();
  const from = await newest();
  const words = ['events', '--follow', '--since', String(from)];
  const followers = [
    Follower.ssh(t, house, { person: admin, words }),
    Follower.local(t, house, words),
  ];

  // Through both doors at once.
  await Promise.all([
    push(ana, work, ['main', 'main:topic']),
    ...['a', 'b', 'c'].map((name) => must(`org create org-${name}`)),
    ...['d', 'e', 'f'].map((name) => admin.ssh(`org create org-${name}`)),
  ]);
  await push(ana, work, [':topic']);
  const last = await newest();

  const told = linesOf(await house.operator(`events --since ${from}`));
  t.strictSame(
    told.map(({ seq }) => seq),
    Array.from({ length: last - from }, (_, nth) => from + nth + 1),
    'no number is left out',
  );
  const made = told.filter(({ type }) => type === 'org-added');
  t.same([...new Set(made.map(({ principal }) => principal))].sort(), ['operator', 'user:ada']);
  t.equal(made.length, 6);
  const { stdout } = await ana.git('rev-parse HEAD', { cwd: work });
  const tip = stdout.trim();
  const update = { type: 'ref-updated', repo: 'ana/app', principal: 'user:ana' };
  t.strictSame(
    told
      .filter(({ type }) => type === 'ref-updated')
      .map(({ seq: _seq, at: _at, ...rest }) => rest),
    [
      { ...update, ref: 'refs/heads/main', old: none, new: tip },
      { ...update, ref: 'refs/heads/topic', old: none, new: tip },
      { ...update, ref: 'refs/heads/topic', old: tip, new: none },
    ],
  );
  t.match(made, [{ seq: Number, at: /Z$/ }]);
  for (const follower of followers) {
    await follower.reads(({ seq }) => seq === last);
    t.strictSame(follower.lines, told, 'live and later are one');
  }
  t.strictSame(linesOf(await admin.ssh(`events --since ${last}`)), [], 'and nothing behind it');
  t.strictSame(linesOf(await admin.ssh(`events --since ${from} --json`)), told);
});

t.test('S18 events show who may read a repository that one, decided anew each time', async (t) => {
  const bo = await house.person('bo');
  t.strictSame(linesOf(await bo.ssh('events')), [], 'nothing is readable');
  const words = `events --follow --since ${await newest()}`;
  const follower = Follower.ssh(t, house, { person: bo, words });

  await must('repo set ada/secret --description one');
  await must('repo access grant ana/app bo read');
  await must('repo set ana/app --description two');
  await follower.reads(({ type }) => type === 'repo-set');
  await must('repo access revoke ana/app bo');
  await must('repo set ana/app --description three');
  await must('user add carla');
  await must('repo set ana/app --visibility internal');
  await must('init bo/own');
  await follower.reads(({ repo }) => repo === 'bo/own');

  t.match(
    follower.lines.map(({ type, repo }) => [type, repo]),
    [
      ['repo-set', 'ana/app'],
      ['repo-set', 'ana/app'],
      ['repo-added', 'bo/own'],
    ],
    'no row of another repository, none of who may do what, none while there was no right',
  );
  const later = linesOf(await bo.ssh('events'));
  t.ok(later.every(({ repo }) => repo === 'ana/app' || repo === 'bo/own'));
  t.notOk(later.some(({ type }) => String(type).startsWith('access-')));
  const owners = linesOf(await ana.ssh('events'));
  t.ok(
    owners.some(({ type }) => type === 'access-granted'),
    'its owner sees who was granted',
  );
  t.notOk(owners.some(({ repo }) => repo === 'ada/secret' || repo === undefined));
});

t.test('S2 whoever is disabled follows no longer, and is told why', async (t) => {
  const dora = await house.person('dora');
  const follower = Follower.ssh(t, house, { person: dora, words: 'events --follow' });
  await begun('events');

  await must('user disable dora');
  const atMs = performance.now();

  const ended = await follower.ended;
  t.equal(ended.status, 4);
  t.match(ended.stderr, /cpm: .*disabled/);
  t.ok(ended.atMs - atMs < 1000, `after ${Math.round(ended.atMs - atMs)} ms`);
});

t.test('a follower may be silent for longer than the idle limit, others may not', async (t) => {
  const words = `events --follow --since ${await newest()}`;
  const follower = Follower.ssh(t, house, { person: ana, words });
  for (let round = 0; round < 2; round += 1) {
    const idle = Follower.ssh(t, house, { person: ana, words: '', options: ['-N'] });
    t.match(await idle.ended, { status: 255, stderr: /nothing was sent for 2 s/ });
  }

  await must('repo set ana/app --description four');

  await follower.reads(({ type }) => type === 'repo-set');
  follower.kill('SIGINT');
  await follower.ended;
});

t.test(
  'once its request is over, a connection that was silent is idle like any other',
  async (t) => {
    const socket = join(ana.home, 'master');
    const options = ['-o', 'ControlMaster=yes', '-o', `ControlPath=${socket}`];
    const master = Follower.ssh(t, house, { person: ana, words: '', options: [...options, '-N'] });
    const share = ['-o', 'ControlMaster=no', '-o', `ControlPath=${socket}`];
    const signal = AbortSignal.timeout(20_000);
    while ((await ana.ssh('whoami', { options: [...share, '-O', 'check'] })).status !== 0) {
      signal.throwIfAborted();
    }
    const follower = Follower.ssh(t, house, {
      person: ana,
      words: 'events --follow',
      options: share,
    });
    const [request] = await begun('events');
    await must(`sessions end ${request?.['id']}`);
    t.match(await follower.ended, { status: 6 });

    t.match(await master.ended, { stderr: /nothing was sent for 2 s/ });
  },
);

t.test('a follower that goes away is gone, and one that the server leaves is told', async (t) => {
  const words = ['events', '--follow'];
  const gone = Follower.ssh(t, house, { person: admin, words });
  const local = Follower.local(t, house, words);
  await begun('events', 2);
  gone.kill('SIGKILL');
  local.kill('SIGINT');
  t.equal((await local.ended).status, 130);
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const all = JSON.parse((await admin.ssh('sessions list --json')).stdout);
    if (!all.some((each: { action: unknown }) => each.action === 'events')) break;
  }
  const stays = [Follower.ssh(t, house, { person: admin, words }), Follower.local(t, house, words)];
  await begun('events', 2);

  const atMs = performance.now();
  await house.stop();

  t.ok(performance.now() - atMs < 5000, 'nobody who follows keeps a server from stopping');
  for (const follower of stays) {
    t.match(await follower.ended, { status: 6, stderr: /the server is stopping/ });
  }
  const alone = await house.operator('events --follow');
  t.match(alone, { status: 6, stdout: '', stderr: /no server runs here/ });
  t.ok(linesOf(await house.operator('events')).length > 10, 'what happened is there all the same');
});
