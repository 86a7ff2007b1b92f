import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { beaconConfig, beaconPort } from '../support/beacon.ts';
import { House } from '../support/house.ts';
import { standBetween } from '../support/middle.ts';

const [a, b] = await Promise.all([
  House.open(t, {
    admin: 'ada',
    config: `${beaconConfig}public_url: ssh://cpm@alpha.lan:2222\n`,
  }),
  House.open(t, { admin: 'bea', config: `${beaconConfig}public_url: ssh://cpm@beta.lan:2222\n` }),
]);
const port = beaconPort(b);
interface Row {
  name: string;
  state: string;
  told_name: string;
  port: number;
}

const json = async <T>(house: House, words: string | readonly string[]): Promise<T> => {
  const all = typeof words === 'string' ? words.split(' ') : words;
  const { stdout, stderr } = await house.admin.ssh([...all, '--json']);
  if (stdout === '') throw new Error(`${all.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as T;
};
const neighbors = (house: House) => json<Row[]>(house, 'neighbors list');
const find = (at: number) =>
  a.operator(`neighbors discover --host 127.0.0.1 --port ${at} --add --json`);
const wordsFor = async (house: House, name: string) =>
  (await json<{ words: string }>(house, `neighbors add ${name}`)).words;
const confirm = (house: House, name: string, words: string) =>
  house.admin.ssh(['neighbors', 'add', name, '--words', words]);
const asking = async (house: House) =>
  (await neighbors(house)).find(({ state }) => state === 'asking')?.name ?? '';

t.test(
  'S21 a man in the middle shows two machines different words, and nothing is confirmed',
  async (t) => {
    const between = await standBetween(t, port);
    t.match(await find(between), { status: 0, stdout: /"name":"beta"/ });
    const [his] = await neighbors(a);
    t.match(his, { name: /^nb-/, told_name: 'beta', state: 'unconfirmed', port: between });

    const here = await wordsFor(a, his?.name ?? '');
    const caller = await asking(b);
    const there = await wordsFor(b, caller);

    t.match([here, there], [/^([a-z]+ ){5}[a-z]+$/, /^([a-z]+ ){5}[a-z]+$/]);
    t.not(here, there, 'both sides see other words');
    for (const answer of [await confirm(a, his?.name ?? '', there), await confirm(b, caller, here)])
      t.match(answer, { status: 4, stderr: /the words are not the same/ });
    for (const house of [a, b]) {
      t.match(await json(house, 'servers list'), []);
      t.notOk((await neighbors(house)).some(({ state }) => state === 'confirmed'));
    }
    t.equal(await asking(b), '', 'the attempt is used up');
    t.match(await a.admin.ssh(`neighbors remove ${his?.name} --yes`), { status: 0 });
  },
);

let known = '';

t.test('the two pair when they hear each other alone', async (t) => {
  t.match(await find(port), { status: 0 });
  const [row] = await neighbors(a);
  known = row?.name ?? '';
  const words = await wordsFor(a, known);
  const caller = await asking(b);
  t.equal(await wordsFor(b, caller), words);
  t.match(await confirm(a, known, words), { status: 0 });
  t.match(await confirm(b, caller, words), { status: 0 });
  t.match(await a.admin.ssh('servers test beta'), { status: 0 });
});

t.test(
  'S23 a server that borrows a name is called by its key, also once it is trusted',
  async (t) => {
    const between = await standBetween(t, port);
    await find(between);
    const his = (await neighbors(a)).find(({ state }) => state === 'unconfirmed')?.name ?? '';
    t.match(his, /^nb-/);
    t.match(await confirm(a, his, await wordsFor(a, his)), { status: 0 });

    const servers = await json<Row[]>(a, 'servers list');
    t.strictSame(servers.map(({ name }) => name).sort(), ['beta', his]);
    t.match(await a.admin.ssh('servers test beta'), { status: 0 }, 'the name stays whose it was');
    t.match(await a.admin.ssh(`neighbors remove ${his} --yes`), { status: 0 });
  },
);

t.test(
  'one that calls itself otherwise keeps the name and the trust that it has here',
  async (t) => {
    t.match(await b.operator('config set public_url ssh://cpm@gamma.lan:2222'), { status: 0 });
    t.match(await find(port), {
      status: 0,
      stdout: /"name":"gamma".*"registered":true,"as":"beta"/,
    });
    t.match(await neighbors(a), [{ name: 'beta', told_name: 'gamma', state: 'confirmed' }]);
    t.match(await a.admin.ssh('servers test beta'), { status: 0 });
  },
);

t.test(
  'another signing key makes another neighbor, which is nobody until it is confirmed',
  async (t) => {
    const path = join(b.dataDir, 'keys/sign_ed25519');
    const fresh = generateEd25519();
    await b.stop();
    // At the same place as before.
    t.match(await b.operator(`config set neighbors.listen 127.0.0.1:${port}`), { status: 0 });
    writeFileSync(path, fresh.privateKey, { mode: 0o600 });
    writeFileSync(`${path}.pub`, `${fresh.publicLine}\n`);
    await b.restart();

    t.match(await find(port), {
      status: 0,
      stderr: /127\.0\.0\.1 was beta's: another key answers there now/,
    });
    const rows = await neighbors(a);
    t.equal(rows.find(({ state }) => state === 'confirmed')?.name, 'beta');
    const fresher = rows.find(({ state }) => state === 'unconfirmed')?.name ?? '';
    t.match(fresher, /^nb-/);
    t.match(await a.admin.ssh('neighbors show beta'), { status: 4, stderr: /has another key/ });
    t.match(await a.admin.ssh(`neighbors share ${fresher} ada/x`), { status: 4 });

    t.match(await a.admin.ssh('neighbors remove beta --yes'), { status: 0 });
    t.match(await b.admin.ssh('neighbors remove alpha --yes'), { status: 0 });
    const words = await wordsFor(a, fresher);
    const caller = await asking(b);
    t.match(await confirm(a, fresher, words), { status: 0 });
    t.match(await confirm(b, caller, words), { status: 0 });
    t.match(await a.admin.ssh('servers test gamma'), { status: 0 });
  },
);

t.test('what was done about neighbors is on record', async (t) => {
  const rows = await json<{ action: string; outcome: string }[]>(a, 'audit list --limit 200');
  const done = new Set(rows.map(({ action, outcome }) => `${action} ${outcome}`));
  for (const each of [
    'neighbors discover ok',
    'neighbors add ok',
    'neighbors add denied',
    'neighbors remove ok',
  ])
    t.ok(done.has(each), each);
});
