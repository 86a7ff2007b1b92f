import { createHash, randomUUID } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { admit } from '../../src/core/peering/admit.ts';
import { admitNew } from '../../src/core/peering/admit-new.ts';
import {
  describeBundle,
  expectBundle,
  readBundle,
  receiveBundle,
} from '../../src/core/peering/bundle.ts';
import { agreeOnHead } from '../../src/core/peering/facts.ts';
import { scanOutbox } from '../../src/core/peering/outbox.ts';
import { factsOf } from '../../src/core/peering/protocol.ts';
import { asPeer } from '../../src/core/peering/run.ts';
import { type Manifest, visibleRefs, writeSnapshot } from '../../src/core/peering/snapshot.ts';
import { nullOid } from '../../src/model/ref.ts';
import { tarHeader } from '../../src/model/ustar.ts';
import { Throttle } from '../../src/programs/throttle.ts';
import { House } from '../core/house.ts';
import { actor } from '../store/actor.ts';
import { must } from '../support/process.ts';

const main = 'refs/heads/main';
const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');

/** A repository here, one whose state a peer sends, and what the peer would send of it. */
async function scene(t: Test) {
  const house = await House.open(t);
  const { core } = house;
  const [target, source] = [await house.create('target'), await house.create('source')];
  const first = await house.commit(source, 'first');
  const second = await house.commit(source, 'second', first);
  await house.git(source, 'update-ref', main, second);
  await house.git(source, 'update-ref', 'refs/tags/v1', first);
  const id = await core.store.servers.add({ name: 'b', role: 'dev' }, actor());
  const server = await core.store.servers.byId(id);
  if (server === undefined) throw new Error('b is gone');
  await core.store.serverLinks.link(server, target, { remoteId: randomUUID() }, actor());
  const signal = AbortSignal.timeout(60_000);
  const folderOf = () => join(core.config.dataDir, 'incoming', `sync-test-${randomUUID()}`);
  const snapshot = async () => {
    const folder = folderOf();
    mkdirSync(folder);
    const directory = core.repos.directory(source);
    const refs = await visibleRefs(directory);
    const theirs = await visibleRefs(core.repos.directory(target));
    const none = { births: new Map(), deleted: new Map(), from: undefined };
    await writeSnapshot(core.git, directory, { refs, theirs, ...none, folder, signal });
    return folder;
  };
  const pair = { serverId: server.id, repoId: target.id };
  const agreed = async () => (await core.store.syncs.base(pair))?.digest;
  const taken = async (folder: string, before?: string) =>
    admit(core, {
      ...{ server, repo: target, principal: asPeer(server), by: actor(), folder, signal },
      ...{ agreed: before ?? (await agreed()), decided: new Map(), allowShrink: false },
    });
  return { pair, house, core, target, source, server, first, second, signal, snapshot, taken };
}

type Scene = Awaited<ReturnType<typeof scene>>;

const manifestOf = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'manifest'), 'utf8')) as Manifest;

/** Rewrites the manifest so that all sums are right: a peer that means harm does that. */
function signOff(folder: string, change: (manifest: Manifest) => Partial<Manifest> = () => ({})) {
  const text = readFileSync(join(folder, 'refs'), 'utf8');
  const lines = text
    .split('\n')
    .slice(1, -1)
    .filter((line) => !line.startsWith('- '));
  const manifest = manifestOf(folder);
  const digest = sha256(lines.map((line) => `${line}\n`).join(''));
  const refs = { sha256: sha256(text), bytes: text.length };
  const next = { ...manifest, digest, refs, ...change(manifest) };
  writeFileSync(join(folder, 'manifest'), JSON.stringify(next));
}

/** Another list of refs, in the order and with the sums that are expected. */
function relist(folder: string, lines: readonly string[]): void {
  const sorted = [...lines].sort((one, other) => (one.slice(41) < other.slice(41) ? -1 : 1));
  writeFileSync(join(folder, 'refs'), ['all', ...sorted, ''].join('\n'));
  signOff(folder);
}

/** Another pack, under the name that its content gives it. */
function repack(folder: string, bytes: Buffer): void {
  const old = manifestOf(folder).pack?.name ?? '';
  rmSync(join(folder, old));
  const sum = sha256(bytes);
  const name = `pack-${sum}.pack`;
  writeFileSync(join(folder, name), bytes);
  signOff(folder, () => ({ pack: { name, sha256: sum, bytes: bytes.length } }));
}

const packOf = (folder: string) => join(folder, manifestOf(folder).pack?.name ?? '');

/** A pack of a commit that is none, as `hash-object --literally` writes it. */
async function malformed({ house, source }: Scene, text: string): Promise<[string, Buffer]> {
  const cwd = house.core.repos.directory(source);
  const words = ['hash-object', '-t', 'commit', '-w', '--literally', '--stdin'];
  const oid = (await must('git', words, { cwd, stdin: text })).stdout.trim();
  const tree = /^tree (.*)$/m.exec(text)?.[1] ?? '';
  const asked = { cwd, stdin: `${oid}\n${tree}\n` };
  return [oid, (await must('git', ['pack-objects', '--stdout', '-q'], asked)).bytes];
}

type Spoil = (folder: string, scene: Scene) => unknown;

const hostile: Readonly<Record<string, Spoil>> = {
  'a folder of hooks': (folder) => mkdirSync(join(folder, 'hooks')),
  'a file more': (folder) => writeFileSync(join(folder, 'config'), '[core]\n'),
  'an index of its own': (folder) =>
    writeFileSync(packOf(folder).replace(/pack$/, 'idx'), Buffer.alloc(1072)),
  'a link': (folder) => symlinkSync('/etc/passwd', join(folder, 'alternates')),
  'refs that is a link': (folder) => {
    renameSync(join(folder, 'refs'), `${folder}.refs`);
    symlinkSync(`${folder}.refs`, join(folder, 'refs'));
  },
  'a pack with a second name': (folder) => linkSync(packOf(folder), `${folder}.pack`),
  'a manifest that is a folder': (folder) => {
    rmSync(join(folder, 'manifest'));
    mkdirSync(join(folder, 'manifest'));
  },
  'a fifo for refs': async (folder) => {
    rmSync(join(folder, 'refs'));
    await must('mkfifo', [join(folder, 'refs')]);
  },
  'refs that do not add up': (folder, { first }) =>
    writeFileSync(join(folder, 'refs'), `all\n${first} ${main}\n`),
  'a pack that is cut short': (folder) =>
    writeFileSync(packOf(folder), readFileSync(packOf(folder)).subarray(0, -30)),
  'a corrupt pack under right sums': (folder) => {
    const bytes = readFileSync(packOf(folder));
    bytes.writeUInt8(bytes.readUInt8(20) ^ 0xff, 20);
    repack(folder, bytes);
  },
  'a pack that is none': (folder) => repack(folder, Buffer.from('PACKnothing of the kind')),
  'objects that did not come': (folder, { second }) => {
    rmSync(packOf(folder));
    relist(folder, [`${second} ${main}`]);
    signOff(folder, () => ({ pack: null }));
  },
  'a ref to no object': (folder) => relist(folder, [`${'a'.repeat(40)} ${main}`]),
  'a hidden ref': (folder, { first }) => relist(folder, [`${first} refs/cpm/archive/x`]),
  'a replacement': (folder, { first }) => relist(folder, [`${first} refs/replace/${first}`]),
  'a ref that climbs': (folder, { first }) =>
    relist(folder, [`${first} refs/heads/../../hooks/pre-receive`]),
  'a ref with a control character': (folder, { first }) =>
    relist(folder, [`${first} refs/heads/a\tb`]),
  'one ref twice': (folder, { first, second }) =>
    relist(folder, [`${first} ${main}`, `${second} ${main}`]),
  'a ref in the way of another': (folder, { first }) =>
    relist(folder, [`${first} ${main}`, `${first} ${main}/tip`]),
  'HEAD among the refs': (folder, { first }) => relist(folder, [`${first} HEAD`]),
  'a commit without an e-mail': async (folder, scene) => {
    const tree = await scene.house.git(scene.source, 'mktree');
    const who = 'nobody 1700000000 +0000';
    const text = `tree ${tree}\nauthor ${who}\ncommitter ${who}\n\nx\n`;
    const [oid, bytes] = await malformed(scene, text);
    repack(folder, bytes);
    relist(folder, [`${oid} ${main}`]);
  },
};

t.test('S12 S14 whatever else a peer puts into its session is refused whole', async (t) => {
  const all = await scene(t);
  const { house, target, snapshot, taken } = all;
  for (const [what, spoil] of Object.entries(hostile)) {
    const folder = await snapshot();
    await spoil(folder, all);

    await t.rejects(taken(folder), { code: 'corrupt', message: /not taken: .*nothing was/ }, what);
    const left = readdirSync(join(house.core.config.dataDir, 'incoming'));
    t.notOk(
      left.some((name) => name.startsWith('sync-objects-')),
      `${what}: no scratch is left`,
    );
  }
  t.equal(await house.git(target, 'for-each-ref'), '');
  t.equal(await house.git(target, 'count-objects'), '0 objects, 0 kilobytes');
  t.match(
    await taken(await snapshot()),
    { held: false, outcomes: [{}, {}] },
    'and then the sound one',
  );
  t.match(await house.git(target, 'fsck', '--strict'), '');
});

t.test('names that .gitmodules must not have are refused', async (t) => {
  const all = await scene(t);
  const { house, source, taken, snapshot } = all;
  const cwd = house.core.repos.directory(source);
  const text = '[submodule "../../x"]\n\tpath = x\n\turl = -u./payload\n';
  const blob = await must('git', ['hash-object', '-w', '--stdin'], { cwd, stdin: text });
  const entry = `100644 blob ${blob.stdout.trim()}\t.gitmodules\n`;
  const tree = (await must('git', ['mktree'], { cwd, stdin: entry })).stdout.trim();
  const oid = await house.git(source, 'commit-tree', '-m', 'trick', tree);
  await house.git(source, 'update-ref', 'refs/heads/trick', oid);

  await t.rejects(taken(await snapshot()), { code: 'corrupt', message: /gitmodules/ });
});

t.test('doing it again changes nothing, as after an answer that was lost', async (t) => {
  const { house, target, snapshot, taken } = await scene(t);
  const folder = await snapshot();
  const copy = `${folder}-again`;
  await must('cp', ['-a', folder, copy]);

  t.match(await taken(folder), { outcomes: [{ outcome: 'applied' }, { outcome: 'applied' }] });
  t.strictSame((await taken(copy)).outcomes, []);

  t.equal((await house.git(target, 'for-each-ref')).split('\n').length, 2);
});

t.test('a push between the plan and its carrying out is not overwritten', async (t) => {
  const { house, core, target, first, second, snapshot, taken } = await scene(t);
  await taken(await snapshot());
  const mine = await house.commit(target, 'pushed meanwhile', second);
  const theirs = await scene2(house, second);
  const folder = await snapshot();
  // The rules are asked when the plan is made and nothing is done yet.
  const { rules } = core;
  const judge = rules.judge.bind(rules);
  let asked = 0;
  t.intercept(rules, 'judge', {
    value: async (wanted: Parameters<typeof judge>[0]) => {
      asked += 1;
      if (asked === 1) await house.git(target, 'update-ref', main, mine);
      return judge(wanted);
    },
  });

  const { outcomes } = await taken(folder);

  t.strictSame(outcomes, [{ ref: main, outcome: 'conflict' }]);
  t.equal(await house.git(target, 'rev-parse', main), mine);
  t.match(await core.store.conflicts.open(target.id), [{ ref: main, local: mine, remote: theirs }]);
  t.not(first, second);
});

/** Moves main of the source on. @returns where to */
async function scene2(house: House, parent: string): Promise<string> {
  const source = await house.repository('source');
  const oid = await house.commit(source, 'theirs', parent);
  await house.git(source, 'update-ref', main, oid);
  return oid;
}

t.test(
  'a kill inside update-ref leaves whole refs; the start settles, the next run goes on',
  async (t) => {
    const all = await scene(t);
    const { house, target, first, second } = all;
    const folder = await all.snapshot();
    await house.git(target, 'fetch', '-q', house.core.repos.directory(all.source), `${second}`);
    const commands = [
      { ref: main, old: nullOid, new: second },
      { ref: 'refs/tags/v1', old: nullOid, new: first },
    ];
    await house.record('sync', '');
    await house.core.store.pushes.journal(target.id, 'sync', false, commands, actor());
    const directory = house.core.repos.directory(target);
    await house.git(target, 'update-ref', main, second);
    writeFileSync(join(directory, 'refs', 'tags', 'v1.lock'), `${first}\n`);
    const outside = `${house.dataDir}/../session`;
    renameSync(folder, outside);

    await house.crash();

    t.notOk(readdirSync(join(directory, 'refs', 'tags')).includes('v1.lock'));
    const { core } = house;
    const server = all.server;
    const again = await admit(core, {
      ...{ server, repo: target, principal: asPeer(server), by: actor(), folder: outside },
      ...{ agreed: undefined, decided: new Map(), allowShrink: false, signal: all.signal },
    });
    t.strictSame(again.outcomes, [{ ref: 'refs/tags/v1', outcome: 'applied' }]);
  },
);

t.test('a list is not taken that is older than what was agreed meanwhile', async (t) => {
  const { core, target, first, second, pair, snapshot, taken, house } = await scene(t);
  await taken(await snapshot());
  const before = (await core.store.syncs.base(pair))?.digest;
  const stale = await snapshot();
  // Meanwhile they took our own news, and that was agreed: what they had before is no wish to go back.
  const third = await house.commit(target, 'third', second);
  await house.git(target, 'update-ref', main, third);
  const moved = new Map([
    [main, third],
    ['refs/tags/v1', first],
  ]);
  await core.store.syncs.agree(pair, moved);

  await t.rejects(taken(stale, before), { code: 'unavailable', message: /agreed on something/ });

  t.strictSame(await visibleRefs(core.repos.directory(target)), moved);
  t.strictSame((await core.store.syncs.base(pair))?.refs, moved);
});

t.test('a default branch is not taken that is older than what was agreed meanwhile', async (t) => {
  const { core, target, second, server, pair, snapshot, taken, house } = await scene(t);
  await taken(await snapshot());
  await house.git(target, 'update-ref', 'refs/heads/trunk', second);
  const { syncPeers, repositories } = core.store;
  await syncPeers.agreeHead(pair, 'main');
  const told = { server, repo: target, facts: factsOf(target), by: actor() };
  const head = async () => (await repositories.byId(target.id))?.defaultBranch;

  // While a pack was on its way the other side followed us.
  await core.repos.set(target, { defaultBranch: 'trunk' }, actor());
  await syncPeers.agreeHead(pair, 'trunk');
  await agreeOnHead(core, { ...told, before: 'main' });
  t.equal(await head(), 'trunk');

  await agreeOnHead(core, { ...told, before: 'trunk' });
  t.equal(await head(), 'main', 'what they moved back since is taken');
});

t.test('a bomb costs no more memory than it may: what is big is hashed as it passes', async (t) => {
  const all = await scene(t);
  const { core, source, taken, snapshot, house } = all;
  const cwd = core.repos.directory(source);
  const zeros = Buffer.alloc(64 * 1024 * 1024);
  const blob = await must('git', ['hash-object', '-w', '--stdin'], { cwd, stdin: zeros });
  const entry = `100644 blob ${blob.stdout.trim()}\tbomb\n`;
  const tree = (await must('git', ['mktree'], { cwd, stdin: entry })).stdout.trim();
  const oid = await house.git(source, 'commit-tree', '-m', 'bomb', tree);
  await house.git(source, 'update-ref', 'refs/heads/bomb', oid);
  const limits = ['-c', 'alias.limit=!ulimit -d', 'limit'];

  t.match(await taken(await snapshot()), { held: false });
  const { stdout } = await core.git.run(limits, { cwd, bounded: true });
  t.equal(stdout.toString(), `${2 * 1024 * 1024}\n`, 'KiB, for each program that git starts too');
});

t.test(
  'thousands of refs come in as one file, in an empty repository and in a new one',
  async (t) => {
    const { house, core, source, target, first, server, signal, snapshot, taken } = await scene(t);
    const lines = Array.from({ length: 7000 }, (_, at) => `create refs/heads/b/${at} ${first}`);
    const cwd = core.repos.directory(source);
    await must('git', ['update-ref', '--stdin'], { cwd, stdin: `${lines.join('\n')}\n` });
    const folder = await snapshot();
    const copy = `${folder}-new`;
    await must('cp', ['-a', folder, copy]);
    const begun = performance.now();

    await taken(folder);
    const namespace = await core.store.names.find('ada');
    if (namespace === undefined) throw new Error('ada is gone');
    const id = randomUUID();
    const about = { description: '', visibility: 'private', defaultBranch: 'main' } as const;
    const facts = { id, name: 'ada/born', ...about };
    const newcomer = { id, facts, name: 'born', namespace };
    const principal = asPeer(server);
    await admitNew(core, { ...newcomer, server, principal, by: actor(), folder: copy, signal });

    t.ok(performance.now() - begun < 20_000, 'quick, on a busy machine too');
    const refs = await house.git(source, 'for-each-ref');
    const born = await house.repository('born');
    t.equal(await house.git(target, 'for-each-ref'), refs);
    t.equal(await house.git(born, 'for-each-ref'), refs);
    t.strictSame(readdirSync(join(core.repos.directory(born), 'refs', 'heads')), []);
  },
);

t.test('an archive is read as it is written, from any byte on, and no other is', async (t) => {
  const { snapshot } = await scene(t);
  const folder = await snapshot();
  const bundle = await describeBundle(folder);
  const chunks = async (offset: number) => {
    const read: Buffer[] = [];
    for await (const chunk of readBundle(folder, bundle, offset)) read.push(chunk);
    return Buffer.concat(read);
  };
  const whole = await chunks(0);
  t.equal(whole.length, bundle.bytes);
  for (const offset of [1, 511, 512, 700, 1024, whole.length - 1, whole.length]) {
    t.ok((await chunks(offset)).equals(whole.subarray(offset)), `from ${offset}`);
  }
  const into = `${folder}-into`;
  mkdirSync(into);
  const receive = async (bytes: Buffer, named = { id: bundle.id, bytes: bytes.length }) => {
    const part = await expectBundle(into, named, 1e9);
    const rest = [bytes.subarray(part.offset)];
    await receiveBundle(
      into,
      part,
      rest as unknown as AsyncIterable<Buffer>,
      async () => undefined,
    );
  };
  const end = Buffer.alloc(1024);
  const entry = (header: Buffer, content = 'x') =>
    Buffer.concat([header, Buffer.from(content.padEnd(512, '\0')), end]);
  const header = (change: (block: Buffer) => void) => {
    const block = tarHeader('refs', 1);
    change(block);
    block.write('        ', 148);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return block;
  };
  const bad: Readonly<Record<string, Buffer>> = {
    'another name': entry(tarHeader('hooks', 1)),
    'a path': entry(tarHeader('../refs', 1)),
    'an absolute path': entry(tarHeader('/etc/x', 1)),
    'a prefix': entry(header((block) => block.write('sub', 345))),
    'one name twice': Buffer.concat([
      entry(tarHeader('refs', 1)).subarray(0, 1024),
      entry(tarHeader('refs', 1)),
    ]),
    'a symbolic link': entry(header((block) => block.write('2', 156))),
    'a hard link': entry(header((block) => block.write('1', 156))),
    'a device': entry(header((block) => block.write('3', 156))),
    'a fifo': entry(header((block) => block.write('6', 156))),
    'an extended header': entry(header((block) => block.write('x', 156))),
    'a long name of GNU': entry(header((block) => block.write('L', 156))),
    'a setuid mode': entry(header((block) => block.write('0004755\0', 100))),
    'an owner': entry(header((block) => block.write('0001750\0', 108))),
    'a wrong sum': entry(Buffer.from(tarHeader('refs', 1)).fill('7', 148, 150)),
    'a size in binary': entry(header((block) => block.fill(0x80, 124, 125))),
    'a size beyond the end': entry(tarHeader('refs', 5000)),
    'no end': entry(tarHeader('refs', 1)).subarray(0, 1024),
    'something behind the end': Buffer.concat([whole, Buffer.alloc(512)]),
  };
  for (const [what, bytes] of Object.entries(bad)) {
    await t.rejects(receive(bytes), { code: 'corrupt' }, what);
    t.strictSame(
      readdirSync(into).filter((name) => name.endsWith('.part')),
      [],
      what,
    );
  }
  const short = { id: bundle.id, bytes: whole.length };
  await t.rejects(receive(whole.subarray(0, 700), short), { code: 'unavailable' });
  await receive(whole, short);
  for (const { name } of bundle.files) {
    t.ok(readFileSync(join(into, name)).equals(readFileSync(join(folder, name))), name);
  }
  await t.rejects(expectBundle(into, { id: '../x', bytes: 1 }, 10), { code: 'usage' });
  await t.rejects(expectBundle(into, { id: bundle.id, bytes: 1e6 }, 10), { code: 'unavailable' });
});

t.test('a token bucket lets through what a second may have', async (t) => {
  const throttle = new Throttle(1024 * 1024);
  const signal = AbortSignal.timeout(60_000);
  const begun = performance.now();
  for (let sent = 0; sent < 512; sent += 64) await throttle.pass(64 * 1024, signal);
  const ms = performance.now() - begun;
  t.ok(ms > 300, `${ms} ms for half of it`);
});

t.test('what moves one way alone is marked to be carried that way alone', async (t) => {
  const { core, target, server, first } = await scene(t);
  const { serverLinks, syncMarks, pushes } = core.store;
  const marked = async () => {
    await scanOutbox(core);
    const marks = await syncMarks.of(server.id);
    await syncMarks.drop({ repoId: target.id });
    return marks.map(({ direction }) => direction).sort();
  };
  const push = async (name: string) => {
    const done = [{ ref: `refs/heads/${name}`, old: nullOid, new: first }];
    await pushes.settle(target.id, 'push', { done, archived: [] }, actor());
  };
  t.strictSame(await marked(), ['in', 'out'], 'it was linked');

  for (const [way, shared, pushed] of [
    ['in', ['in'], []],
    ['out', ['out'], ['out']],
    [undefined, ['in', 'out'], ['out']],
  ] as const) {
    await serverLinks.share(server, target, way, actor());
    t.strictSame(await marked(), shared, `${way}: it was shared`);
    await push(way ?? 'both');
    t.strictSame(await marked(), pushed, `${way}: something was pushed`);
  }
});
