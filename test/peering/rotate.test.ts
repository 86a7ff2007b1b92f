import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import type { House } from '../support/house.ts';
import { asJson, done } from '../support/keys.ts';
import { hostKeyOf, openPair, serverKeyOf } from '../support/pair.ts';
import { generateKey } from '../support/person.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' }, { syncs: true });
await done(hq.admin.ssh('init tool'));
const work = await hq.admin.worktree();
const push = () => hq.admin.git(['push', '-q', hq.admin.url('tool'), 'main'], { cwd: work });
await push();

const json = async (house: House, words: string) => asJson(house.operator(`${words} --json`));
const printOf = async (house: House, name: string) =>
  (await must('ssh-keygen', ['-lf', join(house.dataDir, 'keys', name)])).stdout.split(' ')[1] ?? '';
const rotate = (house: House, print: string, overlap: string) =>
  json(house, `sshkey rotate ${print} --generate --overlap ${overlap}`);
const keysOf = async (house: House, name: string) =>
  (await json(house, `servers show ${name}`)).keys;

/** Commits, pushes to hq, and has it carried to b. @returns how that came out */
async function carried(): Promise<unknown> {
  await hq.admin.git(['commit', '-q', '--allow-empty', '-m', 'more'], { cwd: work });
  await push();
  await done(hq.operator('servers sync b'));
  const [head, there] = await Promise.all([
    hq.admin.git(['rev-parse', 'HEAD'], { cwd: work }),
    must('git', ['-C', join(b.dataDir, 'repositories/ada/tool.git'), 'rev-parse', 'main']),
  ]);
  return head.stdout === there.stdout;
}

/** The clock is put to where the overlap is over. */
function endOverlap(house: House): void {
  const db = new Sqlite(`${house.dataDir}/cpm.db`);
  db.exec("UPDATE own_key SET until = '2020-01-01T00:00:00.000Z'");
  db.close();
}

/** The host key that a server shows. */
async function shown(house: House): Promise<string> {
  const scan = ['-t', 'ed25519', '-p', String(house.port), '127.0.0.1'];
  const { stdout } = await must('ssh-keyscan', scan);
  const { stdout: told } = await must('ssh-keygen', ['-lf', '-'], { stdin: stdout });
  return told.split(' ')[1] ?? '';
}

t.test(
  'a new key to sign in with is taken over while sync goes on, and the old one ends',
  async (t) => {
    const before = await printOf(hq, 'server_ed25519.pub');
    t.same(await carried(), true);

    const dry = await json(hq, `sshkey rotate ${before} --generate --dry-run`);
    t.equal(await printOf(hq, 'server_ed25519.pub'), before, 'a dry run changes nothing');
    const turned = await rotate(hq, before, '1h');
    const after = await printOf(hq, 'server_ed25519.pub');

    t.match(dry, { changed: true, kind: 'sign-in', told: [] });
    t.match(turned, {
      changed: true,
      kind: 'sign-in',
      fingerprint: after,
      told: ['b'],
      untold: [],
    });
    t.not(after, before);
    t.same((await keysOf(b, 'hq')).sort(), [after, before].sort(), 'both count');
    t.same(await carried(), true);
    t.equal(await printOf(hq, 'server_ed25519'), after, 'both halves are of one pair');

    // Turned once more while b is away: it learns of that by the key that it knows.
    await b.stop();
    const away = await rotate(hq, after, '1h');
    t.match(away, { told: [], untold: [{ server: 'b' }] });
    await b.restart();
    t.same(await carried(), true);
    const last = await printOf(hq, 'server_ed25519.pub');
    t.same((await keysOf(b, 'hq')).includes(last), true);
    t.match(await json(b, 'servers status'), [{ name: 'hq', state: 'up' }]);
  },
);

t.test(
  'a new host key is announced by the old one, and then shown, while sync goes on',
  async (t) => {
    const before = await hostKeyOf(b);

    const announced = await rotate(b, before, '1h');
    const both = (await done(b.operator('servers known-hosts'))).split('\n');
    t.match(announced, { kind: 'host', told: ['hq'] });
    t.equal(await shown(b), before, 'the old one is shown');
    t.equal(both.length, 4, "its own two, hq's, and an empty end");
    t.match(await b.operator(`sshkey rotate ${before} --generate`), {
      status: 5,
      stderr: /already/,
    });
    t.same(await carried(), true);
    const pinned = (await done(hq.operator('servers known-hosts'))).split('\n');
    t.equal(pinned.length, 4, "hq's own, and both of b");

    await b.stop();
    endOverlap(b);
    await b.restart();
    t.equal(await shown(b), announced.fingerprint);
    t.same(await carried(), true);
    await done(hq.operator('servers sync b'));
    t.match(await json(hq, 'servers show b'), { state: 'up', host_key: announced.fingerprint });
    t.equal(
      (await done(hq.operator('servers known-hosts'))).split('\n').length,
      3,
      'the old is gone',
    );
  },
);

t.test(
  'a host key that the pinned one does not announce stops everything until it is trusted',
  async (t) => {
    const path = join(b.dataDir, 'keys', 'host_ed25519');
    await b.stop();
    for (const each of [path, `${path}.pub`]) rmSync(each);
    const foreign = await generateKey(path);
    await b.restart();

    const stopped = await hq.operator('servers sync b');
    t.match(stopped, {
      status: 4,
      stderr: /sync with b stopped: host key is SHA256.*pinned SHA256/,
    });
    t.match(await json(hq, 'servers list'), [{ name: 'b', state: 'untrusted' }]);
    await done(hq.operator(`servers trust b --fingerprint ${foreign.fingerprint}`));
    t.same(await carried(), true);
  },
);

t.test('only this server’s own keys are made here, by its operator', async (t) => {
  const own = await printOf(hq, 'server_ed25519.pub');
  const other = `SHA256:${'A'.repeat(43)}`;
  t.match(await hq.operator(`sshkey rotate ${other} --generate`), { status: 3 });
  t.match(await hq.operator(`sshkey rotate ${own}`), { status: 2, stderr: /--key or --generate/ });
  t.match(await hq.operator(`sshkey rotate ${own} --generate --key -`), { status: 2 });
  t.match(await hq.admin.ssh(`sshkey rotate ${own} --generate`), { status: 4 });
  t.match(serverKeyOf(hq), /^ssh-ed25519 /);
  const names = readdirSync(join(b.dataDir, 'keys')).filter((name) => name.includes('.next'));
  t.same(names, [], 'nothing is left of what was announced');
});
