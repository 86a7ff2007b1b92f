/** Other servers, their keys and links; what was agreed with each; the runs of sync, and its conflicts. */
export const servers = {
  number: 11,
  name: 'servers',
  sql: `
CREATE TABLE server (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('main', 'backup', 'dev', 'neighbor')),
  url TEXT,
  host_key TEXT,
  host_key_line TEXT,
  bandwidth INTEGER,
  state TEXT NOT NULL CHECK (state IN ('unknown', 'up', 'down', 'untrusted')),
  error TEXT,
  latency_ms INTEGER,
  checked_at TEXT,
  house_id TEXT,
  added_at TEXT NOT NULL,
  added_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX server_name ON server (name);
CREATE INDEX server_role ON server (role);

CREATE TABLE server_key (
  id TEXT PRIMARY KEY,
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL,
  type TEXT NOT NULL,
  blob BLOB NOT NULL,
  added_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX server_key_fingerprint ON server_key (fingerprint);
CREATE INDEX server_key_server ON server_key (server_id);

CREATE TABLE server_link (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  repo_id TEXT NOT NULL,
  remote_id TEXT,
  born_there INTEGER NOT NULL CHECK (born_there IN (0, 1)),
  linked_at TEXT NOT NULL,
  PRIMARY KEY (server_id, repo_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX server_link_repo ON server_link (repo_id);
CREATE UNIQUE INDEX server_link_remote ON server_link (server_id, remote_id) WHERE remote_id IS NOT NULL;

CREATE TABLE mirror_namespace (
  owner_id TEXT PRIMARY KEY,
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX mirror_namespace_server ON mirror_namespace (server_id);

CREATE TABLE sync_base (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  repo_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  refs BLOB NOT NULL,
  agreed_at TEXT NOT NULL,
  PRIMARY KEY (server_id, repo_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_base_repo ON sync_base (repo_id);

CREATE TABLE sync_run (
  id TEXT PRIMARY KEY,
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  repo_id TEXT NOT NULL,
  direction TEXT NOT NULL CHECK (direction IN ('out', 'in')),
  transport TEXT NOT NULL CHECK (transport IN ('none', 'rsync', 'tar')),
  result TEXT NOT NULL,
  refs_updated INTEGER NOT NULL,
  refs_conflicted INTEGER NOT NULL,
  bytes_sent INTEGER NOT NULL,
  bytes_received INTEGER NOT NULL,
  bytes_total INTEGER NOT NULL,
  program TEXT,
  error TEXT,
  started_at TEXT NOT NULL,
  ended_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_run_of ON sync_run (server_id, repo_id, ended_at);
CREATE INDEX sync_run_server ON sync_run (server_id, ended_at);

CREATE TABLE sync_conflict (
  id TEXT PRIMARY KEY,
  repo_id TEXT NOT NULL,
  server_id TEXT NOT NULL,
  server TEXT NOT NULL,
  ref TEXT NOT NULL,
  kind TEXT NOT NULL,
  local_oid TEXT NOT NULL,
  remote_oid TEXT NOT NULL,
  base_oid TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'resolved', 'closed')),
  opened_at TEXT NOT NULL,
  ended_at TEXT,
  ended_by TEXT,
  resolution TEXT
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sync_conflict_open ON sync_conflict (repo_id, server_id, ref) WHERE state = 'open';
CREATE INDEX sync_conflict_server ON sync_conflict (server_id) WHERE state = 'open';
CREATE INDEX sync_conflict_told ON sync_conflict (repo_id, server_id) WHERE state = 'resolved';
`,
} as const;
