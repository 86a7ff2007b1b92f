/** Servers that were seen on the local network, and repositories that were copied from them before anybody confirmed them. */
export const neighbors = {
  number: 16,
  name: 'neighbors',
  sql: `
CREATE TABLE neighbor (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  blob BLOB NOT NULL,
  told_name TEXT NOT NULL,
  version TEXT NOT NULL,
  address TEXT NOT NULL,
  port INTEGER NOT NULL,
  ssh_port INTEGER NOT NULL,
  public_repositories INTEGER NOT NULL,
  server_id TEXT REFERENCES server (id) ON DELETE CASCADE,
  seen_at TEXT NOT NULL,
  added_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX neighbor_name ON neighbor (name);
CREATE UNIQUE INDEX neighbor_fingerprint ON neighbor (fingerprint);
CREATE UNIQUE INDEX neighbor_server ON neighbor (server_id) WHERE server_id IS NOT NULL;

CREATE TABLE neighbor_copy (
  repo_id TEXT PRIMARY KEY,
  neighbor_id TEXT NOT NULL REFERENCES neighbor (id) ON DELETE CASCADE,
  path TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX neighbor_copy_neighbor ON neighbor_copy (neighbor_id);

CREATE INDEX repository_public ON repository (namespace_id, name)
  WHERE visibility = 'public' AND deleted_at IS NULL;
ALTER TABLE server_link ADD COLUMN gives INTEGER NOT NULL DEFAULT 1 CHECK (gives IN (0, 1));
ALTER TABLE server_link ADD COLUMN takes INTEGER NOT NULL DEFAULT 1 CHECK (takes IN (0, 1));
`,
} as const;
