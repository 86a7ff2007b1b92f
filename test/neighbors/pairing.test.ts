import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { beaconConfig, beaconPort } from '../support/beacon.ts';
import { House } from '../support/house.ts';
import { hostKeyOf } from '../support/pair.ts';
import { must } from '../support/process.ts';

const config = (name: string) => `${beaconConfig}public_url: ssh://cpm@${name}.lan:2222\n`;
const [a, b] = await Promise.all([
  House.open(t, { admin: 'ada', config: config('alpha') }),
  House.open(t, { admin: 'bea', config: config('beta') }),
]);

interface Row {
  name: string;
  state: string;
  told_name: string;
}

const json = async <T>(house: House, words: string): Promise<T> => {
  const { stdout, stderr } = await house.operator(`${words} --json`);
  if (stdout === '') throw new Error(`${words}: ${stderr}`);
  return JSON.parse(stdout) as T;
};
const find = (house: House, other: House) =>
  house.operator(`neighbors discover --host 127.0.0.1 --port ${beaconPort(other)} --add`);
const neighbors = (house: House) => json<Row[]>(house, 'neighbors list');

const dir = (house: House, repo: string) => join(house.dataDir, 'repositories', `${repo}.git`);
const refsOf = async (house: House, repo: string) => {
  const format = '--format=%(objectname) %(refname)';
  return (await must('git', ['-C', dir(house, repo), 'for-each-ref', 'refs/heads', format])).stdout;
};
const work = await b.admin.worktree();
const gitB = (words: string) => b.admin.git(words, { cwd: work });
await b.admin.ssh('org create acme');
await b.admin.ssh('init acme/open --visibility public');
await b.admin.ssh('init acme/shut --visibility internal');
for (const repo of ['open', 'shut']) await gitB(`push -q ${b.admin.url(`acme/${repo}`)} main`);
await a.admin.ssh('org create acme');

let known = '';

t.test('S23 who was found is called by its key, and can do nothing', async (t) => {
  t.match(await find(a, b), { status: 0 });

  const [row] = await neighbors(a);
  t.match(row, { name: /^nb-[0-9a-f]{12}$/, state: 'unconfirmed', told_name: 'beta' });
  known = row?.name ?? '';
  t.match(await json(a, 'servers list'), []);
  t.match(await a.operator(`neighbors add beta`), { status: 3 }, 'its own name means nothing yet');
  t.match(await a.operator(`push --all --to ${known}`), { status: 3 });
});

t.test(
  'a public repository is copied from an unconfirmed neighbor, the rest is refused',
  async (t) => {
    const copied = await a.admin.ssh(`neighbors sync ${known} acme/open --json`);
    t.match(copied, { status: 0 }, copied.stderr);
    t.match(JSON.parse(copied.stdout), [{ result: 'created', transport: 'git', refs_updated: 1 }]);
    t.equal(await refsOf(a, 'acme/open'), await refsOf(b, 'acme/open'));
    t.match(await json(a, 'show acme/open'), { visibility: 'private' });

    await gitB('commit -q --allow-empty -m two');
    await gitB(`push -q ${b.admin.url('acme/open')} main main:topic`);
    const again = await a.admin.ssh(`neighbors sync ${known} acme/open --json`);
    t.match(JSON.parse(again.stdout), [{ result: 'updated', refs_updated: 2 }]);
    t.equal(await refsOf(a, 'acme/open'), await refsOf(b, 'acme/open'));
    await must('git', ['-C', dir(a, 'acme/open'), 'fsck', '--strict']);
    const third = await a.admin.ssh(`neighbors sync ${known} acme/open --json`);
    t.match(JSON.parse(third.stdout), [{ result: 'up-to-date', bytes_total: 0 }]);

    // Forced over there: it stays here as it is.
    const before = await refsOf(a, 'acme/open');
    await gitB('commit -q --amend --allow-empty -m other');
    await gitB(`push -q -f ${b.admin.url('acme/open')} main`);
    const forced = await a.admin.ssh(`neighbors sync ${known} acme/open`);
    t.match(forced, { status: 5, stderr: /main: it moved apart, and stays here/ });
    t.equal(await refsOf(a, 'acme/open'), before);

    for (const repo of ['acme/shut', 'acme/nosuch']) {
      t.match(await a.admin.ssh(`neighbors sync ${known} ${repo}`), {
        status: 3,
        stderr: new RegExp(`${repo}: no such repository, or not yours to see`),
      });
    }
    await a.admin.ssh('init acme/shut');
    t.match(await a.admin.ssh(`neighbors sync ${known} acme/shut`), { status: 5 }, 'no name links');
    t.match(await a.admin.ssh(`neighbors share ${known} acme/open`), { status: 4 });
    t.match(await a.admin.ssh(`neighbors sync ${known}`), { status: 4 });
    t.match(await a.admin.ssh(`push acme/open --to ${known}`), { status: 3 });
  },
);

t.test('S21 both machines show the same six words; other words use the attempt up', async (t) => {
  const first = await json<{ words: string; changed: boolean }>(a, `neighbors add ${known}`);
  t.match(first, { changed: false, words: /^([a-z]+ ){5}[a-z]+$/ });
  const [asking] = await neighbors(b);
  t.match(asking, { state: 'asking', told_name: 'alpha' });
  const there = await json<{ words: string }>(b, `neighbors add ${asking?.name}`);
  t.equal(there.words, first.words);

  const wrong = ['neighbors', 'add', known, '--words', 'one two three four five six'];
  t.match(await a.operator(wrong), { status: 4, stderr: /the words are not the same/ });
  const right = ['neighbors', 'add', known, '--words', first.words];
  t.match(await a.operator(right), { status: 4 }, 'these words were for one attempt');
  t.match(await json(a, 'servers list'), []);
});

t.test('S21 who changes a key on the way is found out before any words are shown', async (t) => {
  const path = join(b.dataDir, 'keys/host_ed25519.pub');
  const [, right = ''] = readFileSync(path, 'utf8').split(' ');
  const wrong = generateEd25519().publicKey.blob.toString('base64');
  const middle = createServer((socket) => {
    const onward = connect({ port: beaconPort(b), host: '127.0.0.1' });
    socket.on('error', () => onward.destroy()).pipe(onward);
    onward.on('error', () => socket.destroy()).on('end', () => socket.end());
    onward.on('data', (bytes) => {
      socket.write(bytes.toString('latin1').replaceAll(right, wrong), 'latin1');
    });
  });
  t.teardown(() => middle.close());
  await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve));
  const { port } = middle.address() as AddressInfo;
  await a.operator(`neighbors discover --host 127.0.0.1 --port ${port} --add`);

  t.match(await a.admin.ssh(`neighbors add ${known}`), {
    status: 4,
    stderr: /pairing was given up: a signature that does not fit/,
  });
  await find(a, b);
});

t.test(
  'confirmed on both sides they are servers of each other, called as they call themselves',
  async (t) => {
    const { words } = await json<{ words: string }>(a, `neighbors add ${known}`);
    t.match(await a.operator(['neighbors', 'add', known, '--words', words.toUpperCase()]), {
      status: 0,
    });
    const [asking] = await neighbors(b);
    t.match(await b.operator(['neighbors', 'add', asking?.name ?? '', '--words', words]), {
      status: 0,
    });

    t.match(await json(a, 'servers list'), [{ name: 'beta', role: 'neighbor' }]);
    t.match(await json(b, 'servers list'), [{ name: 'alpha', role: 'neighbor' }]);
    t.match(await a.operator('servers test beta'), { status: 0 });
    t.match(await b.operator('servers test alpha'), { status: 0 });
    t.match(await neighbors(a), [{ name: 'beta', state: 'confirmed' }]);
    t.match(await a.operator(`neighbors add ${known}`), { status: 5 });
  },
);

const oneRow = async (house: House, words: string) => {
  const { stdout, stderr } = await house.admin.ssh(`${words} --json`);
  if (stdout === '') throw new Error(`${words}: ${stderr}`);
  return JSON.parse(stdout) as { repo: string; result: string }[];
};

t.test('what both share moves both ways; what one only sends, that way alone', async (t) => {
  await b.admin.ssh('init acme/lib');
  await gitB(`push -q ${b.admin.url('acme/lib')} main`);
  t.match(await a.admin.ssh('neighbors sync beta acme/lib'), { status: 3 }, 'not shared yet');
  t.match(await b.admin.ssh('neighbors share alpha acme/lib'), { status: 0 });
  t.match(await oneRow(a, 'neighbors sync beta acme/lib'), [
    { repo: 'acme/lib', result: 'created' },
  ]);
  const there = await a.admin.worktree();
  await a.admin.git(['pull', '-q', a.admin.url('acme/lib'), 'main'], { cwd: there });
  await a.admin.git(['push', '-q', a.admin.url('acme/lib'), 'HEAD:refs/heads/answer'], {
    cwd: there,
  });
  await oneRow(a, 'neighbors sync beta');
  t.equal(await refsOf(a, 'acme/lib'), await refsOf(b, 'acme/lib'));

  t.match(await b.admin.ssh('neighbors share alpha acme/lib --push'), {
    status: 0,
    stdout: 'acme/lib: is sent there\n',
  });
  await a.admin.git(['push', '-q', a.admin.url('acme/lib'), 'HEAD:refs/heads/more'], {
    cwd: there,
  });
  const refused = await a.admin.ssh('push acme/lib --to beta');
  t.match(refused, { status: 4, stderr: /acme\/lib: you may read it, not write/ });
  t.match(await b.admin.ssh('pull acme/lib --from alpha'), { status: 4, stderr: /only sent to/ });
  await b.admin.ssh('neighbors share alpha acme/lib --pull');
  t.match(await a.admin.ssh('pull acme/lib --from beta'), { status: 3 }, 'nothing is given');
  t.match(await oneRow(b, 'neighbors sync'), [{ repo: 'acme/lib', result: 'updated' }]);
  t.match(await refsOf(b, 'acme/lib'), /refs\/heads\/more/);
});

t.test('names are told to confirmed neighbors alone', async (t) => {
  const { stdout } = await a.admin.ssh('neighbors show beta --json');
  t.match(JSON.parse(stdout), { name: 'beta', state: 'confirmed', repositories: ['acme/open'] });
});

t.test('a neighbor that moves is found again by its key, and reached there', async (t) => {
  const port = beaconPort(b);
  t.match(await a.operator(`neighbors discover --host localhost --port ${port} --add`), {
    status: 0,
    stderr: /beta is at localhost from now on/,
  });
  t.match(await json(a, 'servers show beta'), { url: `cpm@localhost:${b.port}` });
  t.match(await a.admin.ssh('servers test beta'), { status: 0 });
});

t.test('a neighbor whose host key changed is trusted no more', async (t) => {
  const path = join(b.dataDir, 'keys/host_ed25519');
  await b.stop();
  await must('rm', [path, `${path}.pub`]);
  await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
  await b.restart();
  t.match(await a.admin.ssh('neighbors sync beta'), { status: /[46]/, stderr: /host key/ });
  const state = await json<{ neighbors: unknown[] }>(a, 'neighbors status');
  t.match(state.neighbors, [{ name: 'beta', state: 'untrusted' }]);

  const words = ['servers', 'trust', 'beta', '--fingerprint', await hostKeyOf(b)];
  t.match(await a.admin.ssh(words), { status: 0 });
  t.match(await a.admin.ssh('servers test beta'), { status: 0 }, 'until that key is trusted');
});

t.test('over SSH a site admin looks around on the own networks alone', async (t) => {
  for (const words of ['--network 127.0.0.0/24', '--host 127.0.0.1 --add', '--host 127.0.0.1']) {
    t.match(await a.admin.ssh(`neighbors discover ${words}`), {
      status: 4,
      stderr: /only the operator, on the machine itself,/,
    });
  }
  const bo = await a.person('bo');
  for (const words of [
    'discover',
    'list',
    'status',
    'sync beta',
    'share beta acme/lib',
    'add beta',
  ]) {
    t.match(await bo.ssh(`neighbors ${words}`), { status: 4 }, words);
  }
});

t.test('one that leaves can do nothing any more, and repositories stay', async (t) => {
  t.match(await b.admin.ssh('neighbors remove alpha --yes'), { status: 0 });
  t.match(await a.admin.ssh('servers test beta'), { status: 6 });
  t.match(await json(b, 'neighbors list'), []);
  t.match(await json(b, 'show acme/lib'), { name: 'acme/lib' });
});
