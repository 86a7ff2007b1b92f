import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { emptySum } from '../../src/model/sync-refs.ts';
import { Follower } from '../support/follower.ts';
import { House } from '../support/house.ts';
import { introduce, openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';
import { startRelay } from '../support/relay.ts';
import { generatedRepository } from './generate.ts';
import { cpuMs, spread } from './measure.ts';

type Print = (line?: string) => void;
type Closing = { teardown(close: () => unknown): void };

const shown = (times: readonly number[]) => {
  const { min, median, max } = spread(times);
  return `${min.toFixed(0)} to ${max.toFixed(0)} ms, median ${median.toFixed(0)} ms`;
};

/**
 * How long after git has heard that its push to a main is done the backup has it, checked, admitted and on record.
 *
 * @param refs - of the repository, before the first of these pushes
 */
export async function lag(
  print: Print,
  closing: Closing,
  { refs, pushes }: { refs: number; pushes: number },
): Promise<void> {
  const { hq, b } = await openPair(closing, { here: 'main', there: 'backup' }, { syncs: true });
  await hq.admin.ssh('org create acme');
  const there = Follower.ssh(closing, b, {
    person: b.admin,
    words: 'events --follow --since 0',
  });
  const arrives = (oid: string) =>
    there.reads((line) => line['type'] === 'ref-updated' && line['new'] === oid);
  const folder = mkdtempSync(join(tmpdir(), 'cpm-bench-lag-'));
  closing.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const origin = await generatedRepository({ commits: refs, filesPerCommit: 1, refs });
  const env = hq.admin.gitEnv();
  const work = join(folder, 'work');
  await must('git', ['clone', '-q', '--shared', '--no-checkout', origin, work], { env });
  const git = async (...words: string[]) =>
    (await must('git', ['-C', work, ...words], { env })).stdout.trim();
  const url = hq.admin.url('acme/app');
  await must('git', ['-C', origin, 'push', '-q', '--mirror', url], { env });
  await arrives(await git('rev-parse', 'refs/remotes/origin/main'));
  const times: number[] = [];
  for (let push = 0; push <= pushes; push += 1) {
    const tree = await git('rev-parse', 'HEAD^{tree}');
    const oid = await git('commit-tree', '-p', 'HEAD', '-m', `push ${push}`, tree);
    await git('update-ref', 'HEAD', oid);
    await git('push', '-q', url, 'HEAD:refs/heads/main');
    const acknowledged = performance.now();
    await arrives(oid);
    // The first one makes the connections that the others find.
    if (push > 0) times.push(performance.now() - acknowledged);
  }
  print(`from acknowledged to readable on the backup, ${refs} refs: ${shown(times)}`);
}

/** Repositories without a ref, as both sides know them after a sync. @param bornThere - on the other server */
function fill(house: House, count: number, bornThere: boolean): void {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'));
  const at = '2026-01-01T00:00:00.000Z';
  const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
  const one = <T>(sql: string) => db.prepare(sql).get() as T;
  const { owner } = one<{ owner: string }>(
    "SELECT owner_id AS owner FROM namespace WHERE name = 'acme'",
  );
  const { server } = one<{ server: string }>('SELECT id AS server FROM server');
  const [repo, digest, link] = [
    "INSERT INTO repository (id, namespace_id, name, description, visibility, default_branch, archived, size_bytes, ref_count, created_at, updated_at) VALUES (?, ?, ?, '', 'private', 'main', 0, 0, 0, ?, ?)",
    'INSERT INTO repo_digest (repo_id, digest, seq) VALUES (?, ?, 1)',
    'INSERT INTO server_link (server_id, repo_id, remote_id, born_there, linked_at) VALUES (?, ?, ?, ?, ?)',
  ].map((sql) => db.prepare(sql));
  db.transaction(() => {
    for (let n = 0; n < count; n += 1) {
      repo?.run(id(n), owner, `app-${n}`, at, at);
      digest?.run(id(n), emptySum);
      link?.run(server, id(n), id(n), Number(bornThere), at);
    }
  })();
  db.close();
}

/** What a round costs in which nothing has changed, however many repositories two servers share. */
export async function idle(
  print: Print,
  closing: Closing,
  { repos, rounds }: { repos: number; rounds: number },
): Promise<void> {
  const [hq, b] = await Promise.all([
    House.open(closing, { admin: 'ada' }),
    House.open(closing, { admin: 'bea' }),
  ]);
  const relay = await startRelay(hq.port);
  closing.teardown(() => relay.close());
  await introduce(hq, b, { name: 'b', role: 'backup' });
  await introduce(b, { port: relay.port, dataDir: hq.dataDir }, { name: 'hq', role: 'main' });
  for (const house of [hq, b]) {
    await house.admin.ssh('org create acme');
    await house.stop();
    fill(house, repos, house === b);
    await house.restart();
  }
  const round = async () => {
    const { status, stdout, stderr } = await b.admin.ssh('servers sync hq --json');
    if (status !== 0 || stdout.trim() !== '[]') throw new Error(`not idle: ${stdout}${stderr}`);
  };
  // The first one compares all of them, and the second finds the connection.
  for (let n = 0; n < 2; n += 1) await round();
  const costs = () => ({ hq: cpuMs(hq.pid), b: cpuMs(b.pid), ...relay.passed });
  const before = costs();
  const times: number[] = [];
  for (let n = 0; n < rounds; n += 1) {
    const begun = performance.now();
    await round();
    times.push(performance.now() - begun);
  }
  const after = costs();
  const each = (part: keyof typeof after) => ((after[part] - before[part]) / rounds).toFixed(1);
  print(
    `nothing changed in ${repos} repositories: CPU ${each('hq')} ms where it is asked, ${each('b')} ms where it asks; ${each('bytes')} bytes, ${each('connections')} connections; with a person's ssh ${shown(times)}`,
  );
}
