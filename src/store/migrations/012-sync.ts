/** What servers still lack of each other, how each was met last, and the state of each repository as one number. */
export const sync = {
  number: 12,
  name: 'sync',
  sql: `
CREATE TABLE repo_digest (
  repo_id TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX repo_digest_seq ON repo_digest (seq);
INSERT INTO repo_digest
  SELECT id, '', coalesce((SELECT max(seq) FROM change WHERE change.repo_id = repository.id), 1)
  FROM repository;

CREATE TABLE sync_mark (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  repo_id TEXT NOT NULL,
  direction TEXT NOT NULL CHECK (direction IN ('out', 'in')),
  seq INTEGER NOT NULL,
  name TEXT NOT NULL,
  since TEXT NOT NULL,
  held INTEGER NOT NULL CHECK (held IN (0, 1)),
  attempts INTEGER NOT NULL,
  next_at TEXT NOT NULL,
  error TEXT,
  PRIMARY KEY (server_id, repo_id, direction)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_mark_due ON sync_mark (server_id, next_at);
CREATE INDEX sync_mark_repo ON sync_mark (repo_id);

CREATE TABLE sync_peer (
  server_id TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
  epoch TEXT NOT NULL,
  cursor INTEGER NOT NULL,
  stamp TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at TEXT NOT NULL,
  met_at TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE sync_head (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  repo_id TEXT NOT NULL,
  head TEXT NOT NULL,
  PRIMARY KEY (server_id, repo_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_head_repo ON sync_head (repo_id);

ALTER TABLE sync_conflict ADD COLUMN kept INTEGER NOT NULL DEFAULT 1 CHECK (kept IN (0, 1));
CREATE INDEX sync_conflict_kept ON sync_conflict (ended_at) WHERE kept = 1 AND ended_at IS NOT NULL;

INSERT INTO meta VALUES ('sync_epoch', lower(hex(randomblob(16))));
INSERT INTO meta VALUES ('sync_scanned', coalesce((SELECT max(seq) FROM change), 0));
`,
} as const;
