import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite, { type Database } from 'better-sqlite3';
import { decided } from '../../src/commands/list.ts';
import { loadConfig } from '../../src/config.ts';
import { type Core, openCore } from '../../src/core/core.ts';
import { beginHouse, finishHouse } from '../../src/core/house.ts';
import { identifyKey } from '../../src/core/identify.ts';
import { createLog } from '../../src/log.ts';
import { wire } from '../../src/model/sshwire.ts';

const at = '2026-01-01T00:00:00.000Z';
const questions = 2000;
/** As many that are not measured, while Node compiles what they run. */
const warmUp = 500;
const seen = 50;

interface Filled {
  readonly blobs: readonly Buffer[];
}

/** Users with a key each. @returns some of the keys, from first to last */
export function addUsers(db: Database, count: number): readonly Buffer[] {
  const [user, key, name] = [
    'INSERT INTO user (id, name, state, admin, created_at) VALUES (?, ?, ?, 0, ?)',
    'INSERT INTO ssh_key (id, fingerprint, type, blob, title, kind, user_id, verified, added_at, added_by) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)',
    'INSERT INTO namespace (name, kind, owner_id, current) VALUES (?, ?, ?, 1)',
  ].map((sql) => db.prepare(sql));
  const blobs: Buffer[] = [];
  db.transaction(() => {
    for (let n = 0; n < count; n++) {
      const blob = wire('ssh-ed25519', randomBytes(32));
      const print = createHash('sha256').update(blob).digest('base64').replace(/=+$/, '');
      if (n % Math.ceil(count / questions) === 0) blobs.push(blob);
      user?.run(`u${n}`, `user-${n}`, 'active', at);
      name?.run(`user-${n}`, 'user', `u${n}`);
      key?.run(`k${n}`, `SHA256:${print}`, 'ssh-ed25519', blob, 'k', 'user', `u${n}`, at, 'bench');
    }
  })();
  return blobs;
}

/** Users with a key each, a repository each, and a grant to the next one. */
function fill(path: string, count: number): Filled {
  const db = new Sqlite(path);
  const blobs = addUsers(db, count);
  const [repo, grant] = [
    'INSERT INTO repository (id, namespace_id, name, description, visibility, default_branch, archived, size_bytes, ref_count, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?)',
    'INSERT INTO access_grant (id, on_kind, on_id, who_kind, who_id, right, granted_by, granted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  ].map((sql) => db.prepare(sql));
  db.transaction(() => {
    for (let n = 0; n < count; n++) {
      repo?.run(`r${n}`, `u${n}`, 'app', '', 'private', 'main', at, at);
      const to = n < seen ? 0 : (n + 1) % count;
      grant?.run(`g${n}`, 'repo', `r${n}`, 'user', `u${to}`, 'read', 'bench', at);
    }
  })();
  db.close();
  return { blobs };
}

async function openHouse(folder: string): Promise<Core> {
  const env = { HOME: folder, CPM_DATA_DIR: join(folder, 'data') };
  return openCore(await loadConfig({ flags: {} }, env), createLog('silent'));
}

/** The cost of a sign-in, a decision, a list and a record, in this process, with ever more keys and grants. */
export async function people(print: (line: string) => void, counts: readonly number[]) {
  for (const count of counts) {
    const folder = mkdtempSync(join(tmpdir(), 'cpm-bench-'));
    try {
      await beginHouse(join(folder, 'data'));
      await finishHouse(join(folder, 'data'));
      await (await openHouse(folder)).close();
      const { blobs } = fill(join(folder, 'data', 'cpm.db'), count);
      const core = await openHouse(folder);
      print(`${count} users, keys, repositories and grants`);
      await measure(core, print, blobs);
      await core.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

async function measure(core: Core, print: (line: string) => void, blobs: readonly Buffer[]) {
  const signIns: number[] = [];
  const decisions: number[] = [];
  for (let n = -warmUp; n < questions; n++) {
    const begun = performance.now();
    const found = await identifyKey(core.store, blobs[(n + warmUp) % blobs.length] as Buffer);
    if (n >= 0) signIns.push(performance.now() - begun);
    if (found?.principal.kind !== 'user') throw new Error('a key is unknown');
    const path = { namespace: found.principal.name, name: 'app' };
    const asked = performance.now();
    await core.access.authorize(found.principal, { need: 'repo', path, right: 'write' });
    if (n >= 0) decisions.push(performance.now() - asked);
  }
  print(`  sign-in   ${spread(signIns)}`);
  print(`  decision  ${spread(decisions)}`);
  const first = await identifyKey(core.store, blobs[0] as Buffer);
  if (first?.principal.kind !== 'user') throw new Error('the first key is unknown');
  const { principal } = first;
  const standing = await core.access.standing(principal);
  const lists: number[] = [];
  for (let n = 0; n < 20; n++) {
    const begun = performance.now();
    let rows = 0;
    const viewer = { kind: 'user', id: principal.id } as const;
    for await (const _ of decided(core, { principal, standing }, { viewer })) rows += 1;
    lists.push(performance.now() - begun);
    if (n === 0) print(`  list sees ${rows} repositories`);
  }
  print(`  list      ${spread(lists)}`);
  const begun = performance.now();
  const rows = 20_000;
  const request = { principal, address: '192.0.2.1', door: 'ssh', action: 'x', target: 'y' };
  for (let n = 0; n < rows / 2; n++) {
    const record = await core.audit.open({ ...request, request: randomUUID() }, false);
    await record.close('ok', {}, { durable: n % 500 === 499 });
  }
  await core.audit.flush();
  print(`  record    ${Math.round((rows * 1000) / (performance.now() - begun))} rows a second`);
}

function spread(times: number[]): string {
  const sorted = times.sort((a, b) => a - b);
  const shown = [0.5, 0.99].map((part) => sorted[Math.floor(sorted.length * part)]?.toFixed(3));
  return `median ${shown[0]} ms, p99 ${shown[1]} ms`;
}
