/**
 * The change log that backups follow. What it is about is marked by triggers in the transaction that changes it, so that
 * nothing is missed and a push pays for one small row; entries are made of it when somebody reads. The other side: which
 * server is followed, how far, which of its users and organizations are which here, and what waits to be done on disk.
 */

/** A row of `table` that changes marks `subject`; ranks are the order in which subjects can be taken in. */
interface Mark {
  readonly table: string;
  readonly rank: number;
  /** SQL for the subject, with ROW for the changed row. */
  readonly subject: string;
  /** The columns whose change counts; all of them without. */
  readonly columns?: string;
  readonly when?: string;
}

const marks: readonly Mark[] = [
  { table: 'user', rank: 1, subject: `'user:' || ROW.id`, columns: 'name, state, admin, email' },
  { table: 'namespace', rank: 1, subject: `ROW.kind || ':' || ROW.owner_id` },
  {
    table: 'ssh_key',
    rank: 2,
    subject: `'key:' || ROW.id`,
    columns: 'title, user_id, verified, expires_at, added_by_key, revoked_at, replaces',
  },
  {
    table: 'ssh_key',
    rank: 1,
    subject: `'user:' || ROW.user_id`,
    columns: 'user_id, verified, revoked_at',
    when: 'ROW.user_id IS NOT NULL',
  },
  { table: 'org', rank: 3, subject: `'org:' || ROW.id` },
  { table: 'org_member', rank: 4, subject: `'members:' || ROW.org_id` },
  { table: 'team', rank: 4, subject: `'members:' || ROW.org_id` },
  {
    table: 'team_member',
    rank: 4,
    subject: `'members:' || (SELECT org_id FROM team WHERE id = ROW.team_id)`,
    when: 'EXISTS (SELECT 1 FROM team WHERE id = ROW.team_id)',
  },
  {
    table: 'repository',
    rank: 5,
    subject: `'repo:' || ROW.id`,
    columns: 'namespace_id, name, description, visibility, default_branch, archived, deleted_at',
  },
  { table: 'redirect', rank: 5, subject: `'repo:' || ROW.repo_id` },
  { table: 'alias', rank: 5, subject: `'repo:' || ROW.repo_id` },
  { table: 'server_link', rank: 5, subject: `'repo:' || ROW.repo_id`, columns: 'born_there' },
  { table: 'access_grant', rank: 6, subject: `'grants:' || ROW.on_id` },
  { table: 'ref_rule', rank: 7, subject: `'rules:' || ROW.on_id` },
  { table: 'ref_rule_allow', rank: 7, subject: `'rules:' || ROW.on_id` },
  { table: 'ref_rule_count', rank: 7, subject: `'rules:' || ROW.on_id` },
  { table: 'ref_update', rank: 8, subject: `'history:' || ROW.repo_id`, columns: 'id' },
  { table: 'purge', rank: 9, subject: `'purge:' || ROW.repo_id || ':' || ROW.oid` },
  { table: 'audit_signed_head', rank: 9, subject: `'audit'` },
];

function trigger({ table, rank, subject, columns, when }: Mark, at: number): string {
  const events = [
    ['INSERT', 'NEW'],
    [columns === undefined ? 'UPDATE' : `UPDATE OF ${columns}`, 'NEW'],
    ['DELETE', 'OLD'],
  ] as const;
  return events
    .map(([event, row], each) => {
      const of = (text: string) => text.replaceAll('ROW', row);
      const condition = when === undefined ? '' : ` WHEN ${of(when)}`;
      return `CREATE TRIGGER log_mark_${at}_${each} AFTER ${event} ON ${table}${condition} BEGIN
  INSERT INTO log_dirty (rank, subject) VALUES (${rank}, ${of(subject)})
    ON CONFLICT (rank, subject) DO NOTHING;
END;`;
    })
    .join('\n');
}

export const follow = {
  number: 13,
  name: 'follow',
  sql: `
CREATE TABLE log_dirty (
  rank INTEGER NOT NULL,
  subject TEXT NOT NULL,
  PRIMARY KEY (rank, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_entry (
  seq INTEGER PRIMARY KEY,
  term INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  at TEXT NOT NULL,
  previous TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT,
  body_hash TEXT NOT NULL,
  hash TEXT NOT NULL,
  signature TEXT NOT NULL
) STRICT;

CREATE TABLE log_subject (
  subject TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  body_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_history (
  repo_id TEXT PRIMARY KEY,
  last_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE log_reader (
  server_id TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE following (
  server_id TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
  identities INTEGER NOT NULL CHECK (identities IN (0, 1)),
  origin TEXT NOT NULL,
  sign_key TEXT NOT NULL,
  term INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL,
  heard_at TEXT,
  error TEXT,
  since TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE followed (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  remote_id TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'org')),
  called TEXT NOT NULL,
  local_id TEXT NOT NULL,
  ours INTEGER NOT NULL CHECK (ours IN (0, 1)),
  epoch INTEGER NOT NULL,
  PRIMARY KEY (server_id, remote_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX followed_local ON followed (local_id);

CREATE TABLE followed_wish (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  rank INTEGER NOT NULL,
  subject TEXT NOT NULL,
  body TEXT,
  error TEXT,
  PRIMARY KEY (server_id, rank, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE followed_audit_head (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL,
  at TEXT NOT NULL,
  signature TEXT NOT NULL,
  PRIMARY KEY (server_id, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX ref_update_request ON ref_update (request);
-- A table with triggers has its foreign keys looked up from both ends at each insert.
CREATE INDEX ssh_key_replaces ON ssh_key (replaces) WHERE replaces IS NOT NULL;

ALTER TABLE server_link ADD COLUMN comes_back INTEGER NOT NULL DEFAULT 0 CHECK (comes_back IN (0, 1));

${marks.map(trigger).join('\n')}

INSERT INTO log_dirty SELECT 1, 'user:' || id FROM user;
INSERT INTO log_dirty SELECT 2, 'key:' || id FROM ssh_key;
INSERT INTO log_dirty SELECT 3, 'org:' || id FROM org;
INSERT INTO log_dirty SELECT 4, 'members:' || id FROM org;
INSERT INTO log_dirty SELECT 5, 'repo:' || id FROM repository;
INSERT INTO log_dirty SELECT DISTINCT 6, 'grants:' || on_id FROM access_grant;
INSERT INTO log_dirty SELECT 7, 'rules:' || on_id FROM ref_rule_count;
INSERT INTO log_dirty SELECT DISTINCT 8, 'history:' || repo_id FROM ref_update;
INSERT INTO log_dirty SELECT 9, 'purge:' || repo_id || ':' || oid FROM purge;
`,
} as const;
