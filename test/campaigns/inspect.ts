import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import { isWritableRef, nullOid } from '../../src/model/ref.ts';
import { environmentOf, listProcesses } from '../../src/programs/processes.ts';
import { allRefs } from '../../src/programs/refs.ts';
import { run } from '../support/process.ts';

const patienceMs = 120_000;
const lookMs = 50;

interface RepositoryRow {
  readonly id: string;
  readonly name: string;
  readonly main: string;
}

/** Reads a house's database beside its server. */
function query<T>(dataDir: string, sql: string, ...values: unknown[]): T[] {
  const db = new Sqlite(join(dataDir, 'cpm.db'), { readonly: true });
  try {
    return db.prepare(sql).all(...values) as T[];
  } finally {
    db.close();
  }
}

function repositories(dataDir: string): RepositoryRow[] {
  return query(
    dataDir,
    `SELECT repository.id, namespace.name || '/' || repository.name AS name, default_branch AS main
     FROM repository JOIN namespace ON owner_id = namespace_id AND current = 1 WHERE deleted_at IS NULL`,
  );
}

/** Absolute path of a bare repository. @param name - `acme/app` */
export const bare = (dataDir: string, name: string) => join(dataDir, 'repositories', `${name}.git`);

/** The processes that work for a house, by the mark that each of them carries. */
export async function workers(dataDir: string): Promise<number[]> {
  const [house] = query<{ value: string }>(
    dataDir,
    "SELECT value FROM meta WHERE key = 'house_id'",
  );
  const mark = `CPM_HOUSE=${house?.value}`;
  const all = await Promise.all(
    (await listProcesses()).map(async ({ pid, state }) => {
      const isOurs = state !== 'Z' && (await environmentOf(pid)).includes(mark);
      return isOurs ? [pid] : [];
    }),
  );
  return all.flat();
}

/**
 * What should not be there while nobody asks for anything: processes, files, rows.
 *
 * @returns one line for each; empty when all is well
 */
export async function remains(dataDir: string): Promise<string[]> {
  const files = readdirSync(join(dataDir, 'repositories'), { recursive: true, encoding: 'utf8' });
  const odd = files.filter((path) => /\.lock$|\/tmp_[^/]*$|\.new-[^/]*$|\.keep$/.test(path));
  return [
    ...(await workers(dataDir)).map((pid) => `process ${pid} is left`),
    ...odd.map((path) => `${path} is left`),
    ...readdirSync(join(dataDir, 'incoming')).map((name) => `incoming/${name} is left`),
    ...query<{ action: string }>(
      dataDir,
      'SELECT action FROM open_request JOIN audit USING (seq)',
    ).map(({ action }) => `a record of ${action} is open`),
    ...query<{ ref: string }>(dataDir, 'SELECT ref FROM push_journal').map(
      ({ ref }) => `a push of ${ref} is not settled`,
    ),
  ];
}

/**
 * Waits until a server has nothing to do any more.
 *
 * @param stays - what may be left
 * @returns what is left all the same
 */
export async function quiet(dataDir: string, stays?: RegExp): Promise<string[]> {
  const begun = Date.now();
  for (;;) {
    const left = (await remains(dataDir)).filter((each) => stays?.test(each) !== true);
    if (left.length === 0 || Date.now() - begun > patienceMs) return left;
    await wait(lookMs);
  }
}

/** Where row, history and repository tell different stories, or git finds a fault. @returns one line for each */
export async function faults(dataDir: string): Promise<string[]> {
  const found: string[] = trashFaults(dataDir);
  for (const { id, name, main } of repositories(dataDir)) {
    const head = readFileSync(join(bare(dataDir, name), 'HEAD'), 'utf8').trim();
    if (head !== `ref: refs/heads/${main}`) found.push(`${name}: HEAD is "${head}", not ${main}`);
    found.push(...(await historyFaults(dataDir, id)).map((fault) => `${name}: ${fault}`));
    const cwd = bare(dataDir, name);
    const fsck = await run('git', ['fsck', '--full', '--strict', '--no-dangling'], { cwd });
    const said = `${fsck.stdout}${fsck.stderr}`.replace(/^notice: .*\n/gm, '');
    if (fsck.status !== 0 || said !== '') found.push(`${name}: fsck: ${fsck.status} ${said}`);
  }
  return found;
}

/** Whether the trash holds what the rows say, and nothing else. */
function trashFaults(dataDir: string): string[] {
  const rows = query<{ id: string }>(
    dataDir,
    'SELECT id FROM repository WHERE deleted_at IS NOT NULL',
  ).map(({ id }) => `${id}.git`);
  const there = readdirSync(join(dataDir, 'trash'));
  return [
    ...rows.filter((name) => !there.includes(name)).map((name) => `trash/${name} is missing`),
    ...there.filter((name) => !rows.includes(name)).map((name) => `trash/${name} has no row`),
  ];
}

interface UpdateRow {
  readonly ref: string;
  readonly old: string;
  readonly new: string;
}

async function historyFaults(dataDir: string, id: string): Promise<string[]> {
  const found: string[] = [];
  const [row] = repositories(dataDir).filter((each) => each.id === id);
  const values = new Map<string, string>();
  const updates = query<UpdateRow>(
    dataDir,
    'SELECT ref, old_oid AS old, new_oid AS new FROM ref_update WHERE repo_id = ? ORDER BY id',
    id,
  );
  for (const { ref, old, new: next } of updates) {
    const before = values.get(ref) ?? nullOid;
    if (before !== old) found.push(`history of ${ref} jumps from ${before} to ${old}`);
    values.set(ref, next);
  }
  const there = (await allRefs(bare(dataDir, row?.name ?? ''))).filter(({ name }) =>
    isWritableRef(name),
  );
  for (const { name, oid } of there) {
    if (values.get(name) !== oid) found.push(`${name} is ${oid}, history says ${values.get(name)}`);
    values.delete(name);
  }
  for (const [ref, oid] of values) {
    if (oid !== nullOid) found.push(`${ref} is gone, history says ${oid}`);
  }
  return found;
}

/** Every commit that a repository can still reach, archived ones too. */
export async function reachable(dataDir: string, name: string): Promise<Set<string>> {
  const { stdout } = await run('git', ['rev-list', '--all'], { cwd: bare(dataDir, name) });
  return new Set(stdout.split('\n').filter((oid) => oid !== ''));
}
