import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { openPair } from '../support/pair.ts';
import { Peer } from '../support/peer.ts';
import { run } from '../support/process.ts';
import { type Dice, dice } from './dice.ts';
import { mangled } from './fuzz-parsers.ts';

const token = '0123456789abcdef0123456789abcdef';
const oid = 'a'.repeat(40);
const id = '00000000-0000-4000-8000-000000000000';
const facts = {
  id,
  name: 'acme/app',
  description: '',
  visibility: 'private',
  defaultBranch: 'main',
};
const position = { origin: id, term: 1, epoch: 1, seq: 0, hash: '0'.repeat(64) };

/** One sound question of each verb. */
const questions: readonly [object, ...object[]] = [
  { verb: 'caps' },
  { verb: 'offer', repo: facts, digest: 'x', known: null, dryRun: false },
  { verb: 'commit', token, decided: [['refs/heads/main', oid]] },
  { verb: 'snapshot', id, own: null, name: 'acme/app', digest: 'x', known: null, have: [] },
  { verb: 'put-tar', token, id: 'x', bytes: 1 },
  { verb: 'get-tar', token },
  { verb: 'done', token, digest: 'x' },
  { verb: 'list', namespace: '', name: '' },
  { verb: 'end', id },
  { verb: 'changes', epoch: id, seq: 0, stamp: 'x' },
  { verb: 'log', after: position },
  { verb: 'log-at' },
  { verb: 'log-take', head: position, entries: [] },
  { verb: 'objects', id, oids: [oid], have: [['refs/heads/main', oid]] },
  { verb: 'lacking', after: null },
  { verb: 'take-objects', token, id, oids: [oid], gone: [oid] },
];

const oddities = [
  ...[null, true, 0, -1, 1e21, '', 'x'.repeat(5000), '../x', '--all', 'a\nb', '\0', '__proto__'],
  ...[[], {}, [[]], [[null, null]], [['refs/heads/main\n--not', oid]], { length: 5 }, '\ud800'],
] as const;

/** Another value in the place of one of a question's, at any depth. */
function spoiled(chance: Dice, value: unknown): unknown {
  const isDeep = typeof value === 'object' && value !== null && Object.keys(value).length > 0;
  if (!isDeep || chance.below(4) === 0) return oddities[chance.below(oddities.length)];
  const copy = structuredClone(value) as Record<string, unknown>;
  const keys = Object.keys(copy);
  const key = keys[chance.below(keys.length)] ?? '';
  if (chance.below(6) === 0) delete copy[key];
  else copy[key] = spoiled(chance, copy[key]);
  return copy;
}

function line(chance: Dice): string {
  const question = chance.pick(questions);
  if (chance.below(3) > 0) return JSON.stringify(spoiled(chance, question));
  const bytes = mangled(chance, Buffer.from(JSON.stringify(question)));
  return bytes.toString('latin1').replaceAll('\n', ' ');
}

/**
 * A server that is known asks what no server would, and sends streams that are none to both transports.
 *
 * @param cases - so many questions; a tenth of it as streams
 */
export async function fuzzPeer(t: Test, { cases }: { cases: number }): Promise<void> {
  const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
  const { pid } = hq;
  await hq.admin.ssh('org create acme');
  await hq.admin.ssh('init acme/app');
  const work = await hq.admin.worktree();
  await hq.admin.git(['push', '-q', hq.admin.url('acme/app'), 'main'], { cwd: work });
  const chance = dice();
  t.comment(`CPM_SEED=${chance.seed}`);
  const peer = new Peer(b, hq);
  const odd: string[] = [];
  for (let asked = 0; asked < cases; ) {
    await peer.converse(async (ask) => {
      for (let nth = 0; nth < 200 && asked < cases; nth += 1, asked += 1) {
        const said = line(chance);
        const answer = await ask(said);
        const { code } = (answer['error'] ?? {}) as { code?: string };
        if (code === 'internal') odd.push(said.slice(0, 300));
      }
    });
  }
  t.same(odd, [], 'every question is answered or refused in words');
  for (let sent = 0; sent < cases / 10; sent += 1) await streams(peer, chance);

  t.equal(hq.pid, pid, 'the server lives');
  t.notMatch(hq.stderr, /"level":(50|60)|[Uu]ncaught|Unhandled/, 'nothing was a fault of its own');
  t.match(await hq.admin.ssh('audit verify'), { status: 0 });
  t.strictSame(readdirSync(join(hq.dataDir, 'incoming')), []);
  const fsck = await run('git', ['-C', join(hq.dataDir, 'repositories/acme/app.git'), 'fsck']);
  t.equal(fsck.status, 0);
}

/** A session of the other side's own is filled, and read, by what is neither rsync nor an archive. */
async function streams(peer: Peer, chance: Dice): Promise<void> {
  await peer.converse(async (ask) => {
    const have = { id: null, own: null, name: 'acme/app', digest: null, known: null, have: [] };
    const { ok } = await ask({ verb: 'snapshot', ...have });
    const own = (ok as { token?: string } | undefined)?.token ?? token;
    const isRsync = chance.below(2) === 0;
    if (!isRsync) await ask({ verb: 'get-tar', token: own });
    const command = isRsync
      ? `rsync --server --sender -trze.iLsfxCIvu . ${own}/`
      : `cpm-sync get-tar ${own} ${chance.below(3000)}`;
    const greeting = Buffer.from('1f000000\x08xxh128 md5\0\0\0\0\0\0\x01\x02refs', 'latin1');
    await peer.exec(command, { stdin: mangled(chance, greeting) });
    await ask({ verb: 'done', token: own, digest: 'x' });
  });
}
