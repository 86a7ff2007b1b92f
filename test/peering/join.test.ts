import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { invitationKey, parseInvitation } from '../../src/model/invitation.ts';
import { beaconConfig } from '../support/beacon.ts';
import { House } from '../support/house.ts';
import { hostKeyOf } from '../support/pair.ts';
import { run } from '../support/process.ts';

const [hq, b] = await Promise.all([
  // Neighbors find it at an address where nobody signs in.
  House.open(t, { admin: 'ada', config: beaconConfig }),
  House.open(t, { admin: 'bea' }),
]);
await hq.admin.ssh('org create acme');
await hq.admin.ssh('init acme/app --visibility private');
const work = await hq.admin.worktree();
await hq.admin.git(['push', '-q', hq.admin.url('acme/app'), 'main'], { cwd: work });

const invite = async (words: string): Promise<string> => {
  const { stdout } = await hq.operator(`servers invite ${words}`);
  return stdout.trim();
};
const json = async (house: House, words: string) =>
  JSON.parse((await house.admin.ssh(`${words} --json`)).stdout);
const named = async (house: House) =>
  (await json(house, 'servers list')).map(({ name, role }: Record<string, string>) => [name, role]);

/** Somebody who has a line and goes to the door with it by themselves. */
async function byHand(line: string, program: string, stdin = '') {
  const { code, address } = parseInvitation(line);
  const path = join(hq.folder, `code-${code}`);
  writeFileSync(path, invitationKey(code).privateKey, { mode: 0o600 });
  const set = ['IdentitiesOnly=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
  const options = [...set, 'BatchMode=yes', 'LogLevel=ERROR'].flatMap((each) => ['-o', each]);
  const to = ['-p', String(address.port), 'cpm@127.0.0.1', program];
  return run('ssh', ['-F', 'none', '-i', path, ...options, ...to], { stdin });
}

t.test(
  'the line of an invitation is one word that names address, host key and a code',
  async (t) => {
    const line = await invite('b --role backup');

    const { role, address, hostKey } = parseInvitation(line);
    t.same(
      { role, address },
      { role: 'backup', address: { user: 'cpm', host: '127.0.0.1', port: hq.port } },
    );
    t.equal(hostKey, await hostKeyOf(hq));
  },
);

t.test('S4 a code lets its holder do nothing but take the invitation', async (t) => {
  const line = await invite('b --role backup');

  for (const words of ['whoami', 'list', 'servers list', 'cpm-sync', '']) {
    t.match(await byHand(line, words), { stdout: '' }, words);
    t.not((await byHand(line, words)).status, 0, words);
  }
  t.match(await byHand(line, 'git-upload-pack acme/app'), { stdout: /no such repository/ });
  t.match(await byHand(line, 'cpm-join', 'no question'), { status: 2 });
  t.match(await hq.admin.ssh('cpm-join'), { status: 4, stderr: /only a server that was invited/ });
  t.same(await named(hq), []);
});

t.test('S4 the code is in neither database, nor in any record', async (t) => {
  const line = await invite('b --role backup');
  const { code } = parseInvitation(line);
  const db = new Sqlite(`${hq.dataDir}/cpm.db`, { readonly: true });
  const dumped = db.serialize().toString('latin1');
  db.close();

  t.notOk(dumped.includes(code));
  t.notOk((await hq.admin.ssh('audit list --json')).stdout.includes(code));
  t.notOk(hq.stderr.includes(code));
});

t.test('who joins is told what it will mean, and both sides then know each other', async (t) => {
  const line = await invite('b --role backup');

  t.match(await b.operator(['servers', 'join', line, '--dry-run']), {
    status: 0,
    stderr: /dry run/,
  });
  t.same([await named(hq), await named(b)], [[], []]);
  const joined = await b.operator(['servers', 'join', line]);

  t.match(joined, {
    status: 0,
    stdout: 'main is our main now; it calls us b. Its users and rights are followed.\n',
    stderr: /Join cpm@127.*whose host key is SHA256.*\n.*we are its backup.*users, public keys/,
  });
  t.same([await named(hq), await named(b)], [[['b', 'backup']], [['main', 'main']]]);
  t.match(await hq.admin.at(b).ssh('whoami'), { status: 0, stdout: /^ada, site admin\n/ });
  t.match(await b.admin.ssh('whoami'), { status: 0, stdout: /^bea, site admin\n/ }, 'S19');
  t.match(await json(b, 'servers follow main'), { changed: false, identities: true });
  for (const [house, name] of [
    [hq, 'b'],
    [b, 'main'],
  ] as const) {
    t.match(await json(house, `servers test ${name}`), { reachable: true });
  }
  t.match(await json(hq, 'servers show b'), { links: [{ repo: 'acme/app' }] });
  // Following made the mirror: what is in it comes now.
  t.match(await hq.admin.at(b).ssh('show acme/app'), { status: 0 });
  t.match(await json(hq, 'push --all --to b'), [{ repo: 'acme/app', result: 'updated' }]);
});

t.test('an invitation is good once', async (t) => {
  const line = await invite('c --role dev');
  t.match(await b.operator(['servers', 'join', line]), {
    status: 5,
    stderr: /main: this server is known already/,
  });
  t.match(await hq.operator(['servers', 'join', line]), {
    status: 2,
    stderr: /by the same server/,
  });
  await b.operator('servers remove main --yes');
  t.match(await b.operator(['servers', 'join', line, '--name', 'hq']), {
    status: 5,
    stderr: /key SHA256.* is in use already/,
  });
  t.same(await named(b), [], 'what the other side refused is taken back here');
  await hq.operator('servers remove b --yes');

  const doors = [b.admin.ssh(['servers', 'join', line, '--name', 'hq'])];
  t.match(await Promise.all(doors), [{ status: 0 }]);
  await b.operator('servers remove hq --yes');

  t.match(await b.operator(['servers', 'join', line]), {
    status: 4,
    stderr: /does not know this invitation/,
  });
  t.same(await named(b), []);
  await hq.operator('servers remove c --yes');
});

t.test(
  'a code that has ended, was replaced, or is forged is refused like one that never was',
  async (t) => {
    const refused = { status: 4, stderr: /does not know this invitation/ };
    const first = await invite('b --role backup');
    const second = await invite('b --role backup');
    t.match(await b.operator(['servers', 'join', first]), refused, 'replaced');
    const db = new Sqlite(`${hq.dataDir}/cpm.db`);
    db.exec("UPDATE server_invitation SET expires_at = '2020-01-01T00:00:00.000Z'");
    db.close();
    t.match(await b.operator(['servers', 'join', second]), refused, 'ended');
    const forged = second.replace(/[^,]{22}$/, 'A'.repeat(22));
    t.match(await b.operator(['servers', 'join', forged]), refused, 'forged');
    const [head, last] = [forged.slice(0, -1), forged.slice(-1)];
    t.match(await b.operator(['servers', 'join', head]), { status: 2 }, last);
  },
);

t.test('a line that was changed on its way joins nothing', async (t) => {
  const line = await invite('b --role backup');
  const other = line.replace(/SHA256:[^,]*/, `SHA256:${'A'.repeat(43)}`);

  t.match(await b.operator(['servers', 'join', other]), {
    status: 4,
    stderr: /host key is SHA256.*, expected/,
  });
  t.match(await b.operator(['servers', 'join', line.replace(',backup,', ',main,')]), {
    status: 5,
    stderr: /one role, its server another/,
  });
  t.match(await b.operator(['servers', 'join', line.replace(/:\d+,/, ':1,')]), { status: 6 });
  t.same([await named(hq), await named(b)], [[], []]);
});

t.test(
  'invitations are for names that are free, by site admins; both sides record the joining',
  async (t) => {
    const line = await invite('b --role backup');
    await b.operator(['servers', 'join', line, '--name', 'hq']);
    const ana = await hq.person('ana');

    t.match(await hq.operator('servers invite b --role dev'), { status: 5 });
    t.match(await hq.operator('servers invite B --role dev'), { status: 2 });
    t.match(await hq.operator('servers invite c'), { status: 2 });
    t.match(await hq.operator('servers invite c --role lord'), { status: 2 });
    t.match(await ana.ssh('servers invite c --role dev'), { status: 4 });
    t.match(await ana.ssh(['servers', 'join', line]), { status: 4 });
    t.match(await json(hq, 'audit list --action join'), [
      { principal: 'server:b', outcome: 'ok', detail: { verb: 'take' } },
      { principal: 'server:b', outcome: 'ok', detail: { verb: 'ask' } },
    ]);
    t.match(await json(b, "audit list --action 'servers join' --limit 1"), [
      { principal: 'operator', target: `cpm@127.0.0.1:${hq.port}`, outcome: 'ok' },
    ]);
  },
);

t.test(
  'a backup that invites its main is told what is left to do, and follows by it',
  async (t) => {
    await hq.operator('servers remove b --yes');
    await b.operator('servers remove hq --yes');
    await b.admin.ssh('init late');
    const follow = /cpm servers follow b --identities/;

    const invited = await hq.operator('servers invite b --role main');
    t.match(invited, { status: 0, stderr: follow });
    const joined = await b.operator(['servers', 'join', invited.stdout.trim(), '--name', 'hq']);

    t.match(joined, {
      status: 0,
      stdout: /^hq is our backup now; it calls us b\.\n$/,
      stderr: follow,
    });
    t.same([await named(hq), await named(b)], [[['b', 'main']], [['hq', 'backup']]]);
    t.match(await json(hq, 'servers follow b --identities'), { changed: true, identities: true });
    t.match(await json(b, 'push --all --to hq'), [{ result: 'up-to-date' }]);
    t.match(await b.admin.at(hq).ssh('show bea/late'), { status: 0 });
  },
);
