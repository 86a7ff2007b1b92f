import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
const ada = hq.admin;
const work = await ada.worktree();
const git = (words: string) => ada.git(words, { cwd: work });
const url = ada.url('acme/app');
const ana = await hq.person('ana');
await hq.person('bo');
/** Somebody of the backup's own, called as one of the main's. */
await b.person('bo');

interface Found {
  readonly kind: string;
  readonly name?: string;
  readonly why?: string;
}

/** In one order, whatever keys and ids came to be. */
const byText = (one: Found, other: Found) =>
  `${one.kind} ${one.name} ${one.why}` < `${other.kind} ${other.name} ${other.why}` ? -1 : 1;

/** A rehearsal by the admin of one side, about the other. */
async function rehearse(house: House) {
  const about = house === hq ? 'b' : 'hq';
  const answer = await house.admin.ssh(`servers promote ${about} --rehearse --json`);
  const told = answer.stdout === '' ? { differences: [] } : JSON.parse(answer.stdout);
  const found: Found[] = told.differences.sort(byText);
  return { ...answer, told, found };
}

/** Both sides come to the same. */
async function bothSay(t: Test, differences: readonly Found[]): Promise<void> {
  for (const house of [hq, b]) {
    const { status, found, stderr } = await rehearse(house);
    t.equal(status, differences.length === 0 ? 0 : 5, stderr);
    t.match(found, [...differences].sort(byText));
    t.equal(found.length, differences.length, JSON.stringify(found));
  }
}

const carry = () => hq.admin.ssh('servers sync b');

await ada.ssh('org create acme');
await ada.ssh('org member add acme ana');
await ada.ssh('org team add acme devs bo');
await ada.ssh('init acme/app --description Works');
await ada.ssh('repo access grant acme/app team:acme/devs write');
await ada.ssh('repo rules add acme/app main --deny force --allow ana');
await git(`push -q ${url} main main:dev`);
await git('commit -q --amend --allow-empty -m forced');
await git(`push -q -f ${url} HEAD:dev`);

t.test('who does not follow its main is told so, on both sides', async (t) => {
  await hq.admin.ssh('push acme/app --to b');

  const { status, found, stderr } = await rehearse(b);

  t.equal(status, 5);
  t.match(stderr, /hq: \d+ things differ/);
  t.match(found, [
    { kind: 'history', name: 'acme/app' },
    { kind: 'log', name: 'hq', why: 'its change log is not followed' },
  ]);
  await b.admin.ssh('servers follow hq');
  t.match((await rehearse(hq)).found, [{ kind: 'log', why: 'users and rights are not followed' }]);
});

t.test('a backup that has all of its main is proved to', async (t) => {
  await b.admin.ssh('servers follow hq --identities');

  await bothSay(t, []);

  const said = await hq.admin.ssh('servers promote b --rehearse');
  t.match(said, { status: 0, stdout: /^Equal with b: 1 repositories/ });
  const after = await b.admin.git(['push', b.admin.url('acme/app'), 'HEAD:x'], { cwd: work });
  t.match(after, { stderr: /mirror of hq/ }, 'and nothing was switched');
});

t.test('refs, history and rights that are missing are named', async (t) => {
  await git('commit -q --allow-empty -m more');
  await git(`push -q ${url} HEAD:dev`);
  await ada.ssh('repo access grant acme/app ana admin');
  await ada.ssh('repo rules add acme/app dev --deny delete');
  await ada.ssh('org member role acme ana owner');

  await bothSay(t, [
    { kind: 'grants', name: 'acme/app' },
    { kind: 'members', name: 'acme' },
    { kind: 'rules', name: 'acme/app' },
    { kind: 'refs', name: 'acme/app' },
    { kind: 'history', name: 'acme/app' },
  ]);

  await carry();
  await bothSay(t, []);
});

t.test(
  'users, keys and repositories are compared, and what is only called otherwise is the same',
  async (t) => {
    const cy = (await hq.person('cy')).key.fingerprint;
    await ada.ssh(`sshkey revoke ${ana.key.fingerprint} --yes`);
    await ada.ssh('init acme/late');
    await ada.ssh('repo set acme/app --visibility internal');

    await bothSay(t, [
      { kind: 'key', name: ana.key.fingerprint, why: 'is revoked there alone' },
      { kind: 'key', name: cy, why: 'is not here' },
      { kind: 'repo', name: 'acme/app', why: 'is private here' },
      { kind: 'repo', name: 'acme/late', why: 'is no mirror here' },
      { kind: 'repo', name: 'acme/late', why: 'is not here' },
      { kind: 'user', name: 'ana', why: 'has other keys here' },
      { kind: 'user', name: 'cy', why: 'is not here' },
    ]);

    await carry();
    await b.admin.ssh('servers follow hq');
    await bothSay(t, []);
  },
);

t.test('what was written on the disk of the backup past cpm is seen', async (t) => {
  const path = join(b.dataDir, 'repositories/acme/app.git');
  const { stdout } = await must('git', ['-C', path, 'rev-parse', 'refs/heads/dev']);
  await must('git', ['-C', path, 'update-ref', 'refs/heads/by-hand', stdout.trim()]);

  await bothSay(t, [{ kind: 'refs', name: 'acme/app', why: 'has other refs here' }]);
});

t.test(
  'only site admins rehearse, about a server that is main or backup, and that is there',
  async (t) => {
    await hq.operator('servers add d --role dev');

    t.match(await (await hq.person('dan')).ssh('servers promote b --rehearse'), { status: 4 });
    t.match(await hq.admin.ssh('servers promote d --rehearse'), { status: 4, stderr: /neither/ });
    t.match(await hq.admin.ssh('servers promote x --rehearse'), { status: 3 });
    t.match(await hq.admin.ssh('servers promote --rehearse'), {
      status: 2,
      stderr: /NAME is missing/,
    });
    await b.stop();
    t.match(await hq.admin.ssh('servers promote b --rehearse'), { status: 6 });
  },
);
