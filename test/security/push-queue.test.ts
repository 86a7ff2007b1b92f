import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Client, startGit, startSsh } from '../support/client.ts';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';

/** The lines that told a client its place. */
const places = (stderr: string) => [...stderr.matchAll(/^(?:remote: )?busy: .*$/gm)].map(String);
const placeText = (place: string) => `busy: 4 of your pushes run, you are ${place} in line`;

/** Pushes that are under way: git has advertised, and the client says nothing. */
async function hold(t: Test, house: House, person: Person, count: number): Promise<Client[]> {
  const words = Array.from({ length: count }, () =>
    startSsh(t, person, { port: house.port, command: "git-receive-pack 'ana/app'" }),
  );
  await Promise.all(words.map((client) => client.says('report-status')));
  return words;
}

/** A push of one branch, as git makes it. */
function push(t: Test, person: Person, work: string, branch: string): Client {
  const words = ['push', person.url('ana/app'), `HEAD:refs/heads/${branch}`];
  return startGit(t, person, { cwd: work, words });
}

t.test('S26 four pushes of a user run, the next ones wait in line', async (t) => {
  const house = await House.open(t);
  const ana = await house.person('ana');
  const bo = await house.person('bo');
  const robot = await house.stranger('robot');
  const second = ['sshkey', 'add', '--user', 'ana', robot.key.publicPath];
  await house.operator(second);
  await ana.ssh('init app');
  await ana.ssh('repo access grant app bo write');
  const work = await ana.worktree();

  await t.test('each is told its place, and every change of it', async (t) => {
    const [one, ...rest] = await hold(t, house, ana, 4);
    const fifth = push(t, ana, work, 'fifth');
    await fifth.says(placeText('1st'));
    const sixth = push(t, ana, work, 'sixth');
    await sixth.says(placeText('2nd'));
    const seventh = push(t, robot, work, 'seventh');
    await seventh.says(placeText('3rd'));

    const others = await push(t, bo, work, 'others').ended;
    t.match(others, { status: 0 }, 'somebody else does not wait');
    t.same(places(others.stderr), []);

    sixth.kill();
    await seventh.says(placeText('2nd'));

    one?.end();
    t.match(await fifth.ended, { status: 0 }, 'the first in line gets the free turn');
    t.match(await seventh.ended, { status: 0 }, 'and the turn passes on');
    const { stderr } = await seventh.ended;
    t.same(places(stderr), ['3rd', '2nd', '1st'].map(placeText));
    for (const client of rest) client.end();
    for (const client of [...rest, one]) t.match(await client?.ended, { status: 0 });
  });

  await t.test('a merge is one of them', async (t) => {
    const [one, ...rest] = await hold(t, house, ana, 4);
    const command = 'merge app fifth --into seventh';
    const waiting = startSsh(t, ana, { port: house.port, command });
    await waiting.says(placeText('1st'));

    one?.end();

    t.match(await waiting.ended, { status: 0 });
    for (const client of rest) client.end();
    for (const client of [...rest, one]) t.match(await client?.ended, { status: 0 });
  });

  await t.test('a key that is revoked while its push waits is denied, and leaves', async (t) => {
    const held = await hold(t, house, ana, 4);
    const waiting = push(t, robot, work, 'revoked');
    await waiting.says(placeText('1st'));
    const behind = push(t, ana, work, 'behind');
    await behind.says(placeText('2nd'));

    const revoked = await house.operator(['sshkey', 'revoke', robot.key.fingerprint, '--yes']);
    t.match(revoked, { status: 0 });
    t.match(await waiting.ended, { status: 128, stderr: /revoked/ });
    await behind.says(placeText('1st'));
    for (const client of held) client.end();
    t.match(await behind.ended, { status: 0 });

    const { stdout } = await ana.git(['ls-remote', ana.url('ana/app')]);
    t.notMatch(stdout, /revoked/, 'nothing of it arrived');
    const { stdout: record } = await house.operator('audit list --action git-receive-pack --json');
    const refused = JSON.parse(record).filter(
      (row: { outcome: string; key: string }) => row.key === robot.key.fingerprint,
    );
    t.match(refused[0], { outcome: /denied|interrupted/ });
  });

  await t.test('a right that ended while the push waited is looked at again', async (t) => {
    const work = await bo.worktree('own');
    const held = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const client = startSsh(t, bo, { port: house.port, command: 'git-receive-pack ana/app' });
        await client.says('report-status');
        return client;
      }),
    );
    const waiting = push(t, bo, work, 'late');
    await waiting.says(placeText('1st'));
    await ana.ssh('repo access revoke app bo');
    held[0]?.end();

    t.match(await waiting.ended, { status: 128, stderr: /no such repository, or not yours/ });
    for (const client of held) client.end();
    await Promise.all(held.map(({ ended }) => ended));
  });

  t.match(await house.operator('audit verify'), { status: 0 });
  t.match(await ana.git(['fsck'], { cwd: join(house.dataDir, 'repositories/ana/app.git') }), {
    status: 0,
  });
});
