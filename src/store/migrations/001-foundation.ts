/** People, keys, names, repositories, grants, the change log, a ref's history, and the audit chain. */
export const foundation = {
  number: 1,
  name: 'foundation',
  sql: `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE namespace (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'org')),
  owner_id TEXT NOT NULL,
  current INTEGER NOT NULL CHECK (current IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX namespace_of_owner ON namespace (owner_id) WHERE current = 1;

CREATE TABLE user (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'deleted')),
  admin INTEGER NOT NULL CHECK (admin IN (0, 1)),
  email TEXT,
  created_at TEXT NOT NULL,
  last_seen_at TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_name ON user (name) WHERE state <> 'deleted';
CREATE INDEX user_admin ON user (created_at) WHERE admin = 1;

CREATE TABLE ssh_key (
  id TEXT PRIMARY KEY,
  fingerprint TEXT NOT NULL,
  type TEXT NOT NULL,
  blob BLOB NOT NULL,
  title TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('user', 'deploy')),
  user_id TEXT REFERENCES user (id),
  verified INTEGER NOT NULL CHECK (verified IN (0, 1)),
  challenge TEXT,
  expires_at TEXT,
  added_at TEXT NOT NULL,
  added_by TEXT NOT NULL,
  added_by_key TEXT REFERENCES ssh_key (id),
  last_used_at TEXT,
  revoked_at TEXT,
  CHECK ((kind = 'user') = (user_id IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX ssh_key_fingerprint ON ssh_key (fingerprint) WHERE verified = 1;
CREATE INDEX ssh_key_any_fingerprint ON ssh_key (fingerprint, verified);
CREATE INDEX ssh_key_user ON ssh_key (user_id, added_at);
CREATE INDEX ssh_key_parent ON ssh_key (added_by_key);

CREATE TABLE org (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  member_right TEXT NOT NULL CHECK (member_right IN ('none', 'read', 'write', 'admin')),
  created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX org_name ON org (name);

CREATE TABLE org_member (
  org_id TEXT NOT NULL REFERENCES org (id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('member', 'admin', 'owner')),
  PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX org_member_user ON org_member (user_id);

CREATE TABLE team (
  id TEXT PRIMARY KEY,
  org_id TEXT NOT NULL REFERENCES org (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  UNIQUE (org_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE team_member (
  team_id TEXT NOT NULL REFERENCES team (id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  PRIMARY KEY (team_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_member_user ON team_member (user_id);

CREATE TABLE repository (
  id TEXT PRIMARY KEY,
  namespace_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  visibility TEXT NOT NULL CHECK (visibility IN ('private', 'internal', 'public')),
  default_branch TEXT NOT NULL,
  archived INTEGER NOT NULL CHECK (archived IN (0, 1)),
  size_bytes INTEGER NOT NULL,
  ref_count INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX repository_name ON repository (namespace_id, name);
CREATE INDEX repository_seen ON repository (visibility) WHERE visibility <> 'private';

CREATE TABLE access_grant (
  id TEXT PRIMARY KEY,
  on_kind TEXT NOT NULL CHECK (on_kind IN ('repo', 'org')),
  on_id TEXT NOT NULL,
  who_kind TEXT NOT NULL CHECK (who_kind IN ('user', 'team', 'org', 'server', 'key')),
  who_id TEXT NOT NULL,
  right TEXT NOT NULL CHECK (right IN ('read', 'write', 'admin')),
  granted_by TEXT NOT NULL,
  granted_at TEXT NOT NULL,
  UNIQUE (on_id, who_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX access_grant_who ON access_grant (who_id, on_kind);

CREATE TABLE change (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  type TEXT NOT NULL,
  principal TEXT NOT NULL,
  request TEXT NOT NULL,
  repo_id TEXT,
  subject_id TEXT,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX change_repo ON change (repo_id, seq) WHERE repo_id IS NOT NULL;

CREATE TABLE ref_update (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  repo_id TEXT NOT NULL,
  ref TEXT NOT NULL,
  old_oid TEXT NOT NULL,
  new_oid TEXT NOT NULL,
  at TEXT NOT NULL,
  principal TEXT NOT NULL,
  key_id TEXT,
  action TEXT NOT NULL,
  request TEXT NOT NULL
) STRICT;
CREATE INDEX ref_update_ref ON ref_update (repo_id, ref, id);

CREATE TABLE push_journal (
  request TEXT NOT NULL,
  ref TEXT NOT NULL,
  repo_id TEXT NOT NULL,
  old_oid TEXT NOT NULL,
  new_oid TEXT NOT NULL,
  principal TEXT NOT NULL,
  key_id TEXT,
  action TEXT NOT NULL,
  creates INTEGER NOT NULL CHECK (creates IN (0, 1)),
  PRIMARY KEY (request, ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE archived_tip (
  repo_id TEXT NOT NULL,
  oid TEXT NOT NULL,
  ref TEXT NOT NULL,
  archived_at TEXT NOT NULL,
  PRIMARY KEY (repo_id, oid)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('open', 'close', 'note')),
  request TEXT NOT NULL,
  principal TEXT NOT NULL,
  principal_id TEXT,
  key TEXT,
  address TEXT,
  door TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT,
  target_id TEXT,
  outcome TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_request ON audit (request, phase);
CREATE INDEX audit_head ON audit (seq) WHERE phase <> 'close';
CREATE INDEX audit_principal ON audit (principal, seq) WHERE phase <> 'close';
CREATE INDEX audit_target_id ON audit (target_id, seq) WHERE phase = 'close' AND target_id IS NOT NULL;
CREATE INDEX audit_key ON audit (key, seq) WHERE phase <> 'close' AND key IS NOT NULL;
CREATE INDEX audit_address ON audit (address, seq) WHERE phase <> 'close' AND address IS NOT NULL;
CREATE INDEX audit_action ON audit (action, seq) WHERE phase <> 'close';
CREATE INDEX audit_at ON audit (at) WHERE phase <> 'close';

CREATE TABLE open_request (request TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`,
} as const;
