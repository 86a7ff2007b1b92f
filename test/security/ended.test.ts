import { join } from 'node:path';
import t from 'tap';
import { Follower } from '../support/follower.ts';
import { doors, type Entrance, House } from '../support/house.ts';
import { asJson, done } from '../support/keys.ts';

const house = await House.open(t, { config: 'workers: 2\n' });
const [ssh, local] = doors(house) as [Entrance, Entrance];

t.test('several workers are asked for: one serves, and the start says so', async (t) => {
  t.match(house.stderr, /^warning: workers is 2, and one process serves: .*not in this version$/m);
  t.match(await local.run(['config', 'get', 'workers']), { status: 0, stdout: '2\n' });
  t.match(await asJson(ssh.run(['status', '--json'])), { serving: true, pid: house.pid });
});

/** What ends all that somebody has, by whom. */
const ways: readonly (readonly [Entrance, (who: { name: string; print: string }) => string])[] = [
  [local, ({ print }) => `sshkey revoke ${print} --yes`],
  [ssh, ({ print }) => `sshkey revoke ${print} --yes`],
  [local, ({ name }) => `user disable ${name}`],
  [ssh, ({ name }) => `user offboard ${name} --repos-to ada --yes`],
  [local, ({ name }) => `sshkey revoke --all --user ${name} --yes`],
];

for (const [nth, [door, wordsFor]] of ways.entries()) {
  const name = `dan-${nth}`;
  const title = wordsFor({ name, print: 'KEY' });
  t.test(`S2 / test 6: through ${door.name}, ${title}: what was open ends`, async (t) => {
    const dan = await house.person(name);
    const work = await dan.worktree();
    await done(dan.git(['push', '-q', dan.url(`${name}/app`), 'main'], { cwd: work }));
    const control = ['ControlMaster=auto', `ControlPath=${join(dan.home, 'cm')}`];
    const options = control.flatMap((option) => ['-o', option]);
    // One connection with all of it, and a follower at the other door, whom it does not concern.
    const following = 'events --follow --since 0';
    const follower = Follower.ssh(t, house, { person: dan, words: following, options });
    await follower.reads(() => true);
    const clone = "git-upload-pack 'app'";
    const cloning = Follower.ssh(t, house, { person: dan, words: clone, options, reads: false });
    const operator = Follower.local(t, house, following.split(' '));
    await operator.reads(() => true);
    await open(['events', 'events', 'git-upload-pack']);

    await done(door.run(wordsFor({ name, print: dan.key.fingerprint }).split(' ')));
    const endedMs = performance.now();
    const next = await dan.ssh('whoami', { options });

    t.not(next.status, 0, 'the next command on the open connection');
    t.equal(next.stdout, '');
    for (const each of [follower, cloning]) {
      const { status, atMs } = await each.ended;
      t.not(status, 0);
      // What ssh takes to go, on a busy machine, is no part of the second.
      t.ok(atMs - endedMs < 2000, `ended after ${Math.round(atMs - endedMs)} ms`);
    }
    t.match(await dan.ssh('whoami'), { status: 255 }, 'nor on a new one');
    await done(house.operator(`org create after-${nth}`));
    await operator.reads(({ type, seq }) => type === 'org-added' && Number(seq) > 0);
    operator.kill('SIGTERM');
    await operator.ended;
  });
}

/** Waits until these run, in whatever order. */
async function open(actions: readonly string[]): Promise<void> {
  const signal = AbortSignal.timeout(20_000);
  for (;;) {
    signal.throwIfAborted();
    const rows: { action: string | null }[] = await asJson(
      local.run(['sessions', 'list', '--json']),
    );
    const running = rows.map(({ action }) => action);
    const missing = actions.filter((action) => {
      const at = running.indexOf(action);
      if (at >= 0) running.splice(at, 1);
      return at < 0;
    });
    if (missing.length === 0) return;
  }
}
