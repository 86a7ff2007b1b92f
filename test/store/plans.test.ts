import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { AccessControl } from '../../src/core/access.ts';
import { identifyKey } from '../../src/core/identify.ts';
import { Lookup } from '../../src/core/lookup.ts';
import { fingerprint } from '../../src/model/sshkey.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { actor, freshKey } from './actor.ts';
import { doEverything } from './everything.ts';

const subjects = [
  'access',
  'aliases',
  'audit',
  'auditHeads',
  'auditSearch',
  'changes',
  'conflicts',
  'entries',
  'following',
  'history',
  'deployKeys',
  'digests',
  'imports',
  'invitations',
  'keys',
  'leadSwitch',
  'leads',
  'likeness',
  'moves',
  'names',
  'neighbors',
  'orgs',
  'paths',
  'purges',
  'pushes',
  'repositories',
  'serverLinks',
  'servers',
  'syncMarks',
  'syncPeers',
  'restored',
  'syncs',
  'rules',
  'teams',
  'trash',
  'upkeep',
  'usage',
  'users',
  'wishes',
] as const satisfies readonly (keyof Store)[];

/**
 * Steps that go through a table, or sort, and may: written by hand, each with its reason. `in` is part of the query,
 * `step` the whole of SQLite's word for it.
 */
const allowed: readonly { readonly in: string; readonly step: string; readonly why: string }[] = [
  {
    in: 'update "ref_update" set "aside" = ? where "aside" = 1',
    step: 'SCAN ref_update USING INDEX ref_update_aside',
    why: 'an index that holds only those that are meant',
  },
  {
    in: 'delete from "lead"',
    step: 'SCAN lead USING INDEX lead_origin',
    why: 'all of them, which are one or two',
  },
  {
    in: 'coalesce(sum("held"), 0)',
    step: 'SCAN sync_mark',
    why: 'counts them all: as many as there are repositories that lack something somewhere',
  },
  {
    in: 'select "id" from "user" limit',
    step: 'SCAN user',
    why: 'stops at the first row: is there any?',
  },
  {
    in: 'select "seq", "hash" from "audit" order by "seq" desc limit',
    step: 'SCAN audit',
    why: 'stops at the last row of the key',
  },
  {
    in: 'where "admin" = 1 order by "created_at" limit',
    step: 'SCAN user USING INDEX user_admin',
    why: 'stops at the first of an index that holds only admins',
  },
  {
    in: `where "audit"."phase" <> 'close' order by "audit"."at" desc, "audit"."seq" desc limit`,
    step: 'SCAN audit USING INDEX audit_at',
    why: 'a page of the whole list, in the order of its index',
  },
  {
    in: '"audit"."principal" in (?, ?)',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts what a stretch of the chain has of them, whose length the caller sets',
  },
  {
    in: 'select distinct "repo_id" from "archived_tip"',
    step: 'SCAN archived_tip USING COVERING INDEX archived_tip_age',
    why: 'once an hour, through the index alone, in the order in which they are looked at',
  },
  {
    in: 'select count(*) as "count" from "neighbor"',
    step: 'SCAN neighbor USING COVERING INDEX neighbor_fingerprint',
    why: 'there are 256 at the most',
  },
  {
    in: 'on "server"."id" = "neighbor"."server_id" order by "neighbor"."name"',
    step: 'SCAN neighbor USING INDEX neighbor_name',
    why: 'all of them are wanted, and there are 256 at the most',
  },
  {
    in: `from "repository" where "visibility" = 'public' and "deleted_at" is null`,
    step: 'SCAN repository USING INDEX repository_public',
    why: 'goes through the index of public ones alone, once in five seconds at the most',
  },
  {
    in: `"repository"."visibility" = 'public' limit ?`,
    step: 'SCAN repository USING INDEX repository_public',
    why: 'stops at the limit, in the index of public ones alone',
  },
  {
    in: '"audit"."address" in (?, ?)',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts what a stretch of the chain has of them, whose length the caller sets',
  },
  {
    in: 'from "audit_signed_head" order by "id" desc limit',
    step: 'SCAN audit_signed_head',
    why: 'stops at the last row of the key',
  },
  {
    in: 'from "audit_signed_head" where "seq" > ?',
    step: 'SCAN audit_signed_head',
    why: 'holds no more rows than a day has minutes',
  },
  {
    in: 'from "audit_signed_head" where "seq" > ? order by "seq"',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'holds no more rows than a day has minutes',
  },
  {
    in: 'from "audit_checkpoint" order by "seq" desc limit',
    step: 'SCAN audit_checkpoint',
    why: 'holds one row',
  },
  {
    in: 'select "seq" from "change" order by "seq" desc limit',
    step: 'SCAN change',
    why: 'stops at the last row of the key',
  },
  {
    in: `select count(*) as "count" from "user" where "state" <> 'deleted'`,
    step: 'SCAN user USING INDEX user_name',
    why: 'counts them all, for the status alone',
  },
  {
    in: 'select count(*) as "count" from "repository" where "deleted_at" is null',
    step: 'SCAN repository USING COVERING INDEX repository_any_time',
    why: 'counts them all, for the status alone',
  },
  {
    in: 'select * from "server" order by "name"',
    step: 'SCAN server USING INDEX server_name',
    why: 'reads them all, and there are a few',
  },
  {
    in: `from "sync_conflict" where "state" = 'open'`,
    step: 'SCAN sync_conflict USING INDEX sync_conflict_server',
    why: 'an index that holds only what is open, all of which is wanted',
  },
  {
    in: 'select "rank" from "log_dirty" limit',
    step: 'SCAN log_dirty',
    why: 'stops at the first row: is there any?',
  },
  {
    in: 'select * from "log_dirty" order by "rank", "subject" limit',
    step: 'SCAN log_dirty',
    why: 'a page of it, in the order of its key',
  },
  {
    in: 'select "seq", "hash" from "log_entry" order by "seq" desc limit',
    step: 'SCAN log_entry',
    why: 'stops at the last row of the key',
  },
  {
    in: 'select * from "log_reader"',
    step: 'SCAN log_reader',
    why: 'reads them all, and there are a few',
  },
  {
    in: 'select * from "following"',
    step: 'SCAN following',
    why: 'reads them all, and there are one or two',
  },
  {
    in: 'from "push_journal"',
    step: 'SCAN push_journal',
    why: 'read at the start alone; holds what runs, and after a crash what ran',
  },
  {
    in: 'from "move_journal"',
    step: 'SCAN move_journal',
    why: 'read at the start alone; holds what a crash cut off',
  },
  {
    in: 'from "purge" where "done" = 0',
    step: 'SCAN purge USING COVERING INDEX purge_begun',
    why: 'read at the start alone, by an index that holds only those that were cut off',
  },
  {
    in: 'from "open_request"',
    step: 'SCAN open_request',
    why: 'read at the start alone; holds what runs, and after a crash what ran',
  },
  {
    in: `"v"."visibility" <> 'private'`,
    step: 'SCAN v USING COVERING INDEX repository_seen',
    why: 'an index that holds only what everybody may read, all of which is wanted',
  },
  {
    in: '"repository"."id" in (select "own"."id"',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts what one user may read, not what there is',
  },
  {
    in: 'coalesce(last_used_at, added_at) <',
    step: 'SCAN ssh_key USING INDEX ssh_key_fingerprint',
    why: 'asked seldom, by an admin: which of all keys are unused?',
  },
  {
    in: 'coalesce(last_used_at, added_at) <',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts the keys that are unused',
  },
  {
    in: 'select value from json_each(',
    step: 'SCAN json_each VIRTUAL TABLE INDEX 1:',
    why: "the query's own list of keys",
  },
  {
    in: 'select value from json_each(',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts the pushes made with a few keys',
  },
  {
    in: 'from "org_member" inner join "org"',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts the orgs of one user',
  },
  {
    in: 'from "org_member" inner join "user"',
    step: 'USE TEMP B-TREE FOR ORDER BY',
    why: 'sorts the members of one org',
  },
];

/** Every method of every subject, `users.add`, from the classes themselves. */
function methodsOf(store: Store): string[] {
  return subjects.flatMap((subject) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(store[subject]))
      .filter((name) => name !== 'constructor')
      .map((name) => `${subject}.${name}`),
  );
}

/** The same store, which notes what is called. */
function noting(store: Store, called: Set<string>): Store {
  const watched = subjects.map((subject) => [
    subject,
    new Proxy(store[subject], {
      get(target, name) {
        const value = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        called.add(`${subject}.${String(name)}`);
        return value.bind(target);
      },
    }),
  ]);
  return { ...store, ...Object.fromEntries(watched) };
}

/** SQLite's plan for a query, one step a line. */
function planOf(db: Sqlite.Database, sql: string): string[] {
  const values = Array(sql.split('?').length - 1).fill(null);
  const rows = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[];
  return rows.map(({ detail }) => detail);
}

/** Whether a step costs by the size of a table: it reads all of it, indexes it on the fly, or sorts what was found. */
function isCostly(step: string): boolean {
  // "doomed" is a query's own list of the keys that it is about to revoke.
  return /^SCAN (?!CONSTANT ROW$|doomed$)|AUTOMATIC|^USE TEMP B-TREE FOR .*ORDER BY/.test(step);
}

/** @returns the costly steps that nothing allows, each under its query; notes which permissions were used */
function faultsOf(db: Sqlite.Database, queries: Iterable<string>, used: Set<string>): string[] {
  const faults: string[] = [];
  for (const sql of queries) {
    if (!/^(select|insert|update|delete|with) /.test(sql)) continue;
    for (const step of planOf(db, sql).filter(isCostly)) {
      const rule = allowed.find((each) => each.step === step && sql.includes(each.in));
      if (rule === undefined) faults.push(`${step}: ${sql}`);
      else used.add(rule.in);
    }
  }
  return faults;
}

t.test('every query of every store method finds its rows by an index', async (t) => {
  const path = join(t.testdir(), 'cpm.db');
  const seen = new Set<string>();
  const called = new Set<string>();
  const store = await openStore(path, (sql) => seen.add(sql));

  await doEverything(noting(store, called));

  t.same([...called].sort(), methodsOf(store).sort(), 'the scenario calls every method there is');
  await store.close();
  const db = new Sqlite(path, { readonly: true });
  t.teardown(() => db.close());
  const used = new Set<string>();
  t.same(faultsOf(db, seen, used), []);
  t.same(
    allowed.map((rule) => rule.in).filter((rule) => !used.has(rule)),
    [],
    'no permission is left over',
  );
  t.comment(`${seen.size} different queries`);
});

t.test('a query without an index is noticed', (t) => {
  const db = new Sqlite(':memory:');
  db.exec('CREATE TABLE user (id TEXT PRIMARY KEY, email TEXT) STRICT, WITHOUT ROWID');
  const sql = 'select "id" from "user" where "email" = ?';

  t.same(faultsOf(db, [sql], new Set()), [`SCAN user: ${sql}`]);
  t.same(faultsOf(db, [`${sql} order by "email"`], new Set()).length, 1);
  t.end();
});

const many = 10_000;

/** A house as of a large firm, written past the store because that takes a second and not a minute. */
function fill(path: string): void {
  const db = new Sqlite(path);
  const statement = (table: string, columns: number) =>
    db.prepare(`INSERT INTO ${table} VALUES (${Array(columns).fill('?')})`);
  const at = '2026-01-01T00:00:00.000Z';
  const namespace = statement('namespace', 4);
  const user = statement('user', 7);
  const key = statement('ssh_key', 17);
  const repository = db.prepare(
    `INSERT INTO repository (id, namespace_id, name, description, visibility, default_branch, archived, size_bytes,
       ref_count, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const grant = statement('access_grant', 10);
  db.transaction(() => {
    for (let n = 0; n < many; n++) {
      const [userId, repoId, keyId] = [randomUUID(), randomUUID(), randomUUID()];
      namespace.run(`user-${n}`, 'user', userId, 1);
      user.run(userId, `user-${n}`, 'active', 0, null, at, null);
      const blob = Buffer.from(keyId);
      const by = [at, 'operator', null, null, null, null, null];
      key.run(
        keyId,
        fingerprint(blob),
        'ssh-ed25519',
        blob,
        '',
        'user',
        userId,
        1,
        null,
        null,
        ...by,
      );
      repository.run(repoId, userId, 'app', '', 'private', 'main', 0, 0, 0, at, at);
      grant.run(
        randomUUID(),
        'repo',
        repoId,
        'user',
        randomUUID(),
        'read',
        'operator',
        at,
        null,
        null,
      );
    }
  })();
  db.close();
}

t.test('among 10,000 of each, signing in and deciding still go by indexes', async (t) => {
  const path = join(t.testdir(), 'cpm.db');
  await (await openStore(path)).close();
  fill(path);
  const seen = new Set<string>();
  const store = await openStore(path, (sql) => seen.add(sql));
  t.teardown(() => store.close());
  const key = freshKey();
  const bo = await store.users.add({ name: 'bo', admin: false, key }, actor());
  const theirs = await store.names.find('user-7000');
  const repo = theirs && (await store.repositories.byName(theirs.ownerId, 'app'));
  if (repo === undefined) throw new Error('the filling failed');
  const on = { kind: 'repo', id: repo.id, name: repo.fullName } as const;
  await store.access.grant(
    on,
    { kind: 'user', id: bo, text: 'bo' },
    { from: 'none', to: 'write' },
    actor(),
  );
  const access = new AccessControl(store, new Lookup(store, () => ''), () => 'users');
  const named = { namespace: 'user-7000', name: 'app' };
  seen.clear();

  const rounds = 300;
  const started = performance.now();
  for (let round = 0; round < rounds; round++) {
    const found = await identifyKey(store, key.blob);
    if (found === undefined) throw new Error('bo was not known');
    const ask = { need: 'repo', path: named, right: 'write' } as const;
    const { decision } = await access.authorize(found.principal, ask);
    if (!decision.allowed) throw new Error('bo was not allowed');
  }
  const ms = (performance.now() - started) / rounds;

  t.comment(`sign-in and decision: ${ms.toFixed(2)} ms, ${seen.size} queries`);
  const db = new Sqlite(path);
  t.teardown(() => db.close());
  t.same(faultsOf(db, seen, new Set()), []);
  // What the planner does once it knows how much there is.
  db.exec('ANALYZE');
  t.same(faultsOf(db, seen, new Set()), []);
});
