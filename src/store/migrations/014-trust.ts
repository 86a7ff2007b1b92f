/** Invitations of other servers; host keys that a server announced besides the pinned one; our own earlier keys. */
export const trust = {
  number: 14,
  name: 'trust',
  sql: `
CREATE TABLE server_invitation (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('main', 'backup', 'dev', 'neighbor')),
  fingerprint TEXT NOT NULL,
  blob BLOB NOT NULL,
  expires_at TEXT NOT NULL,
  invited_at TEXT NOT NULL,
  invited_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX server_invitation_fingerprint ON server_invitation (fingerprint);
CREATE UNIQUE INDEX server_invitation_name ON server_invitation (name);
CREATE INDEX server_invitation_end ON server_invitation (expires_at);

CREATE TABLE server_host_key (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL,
  line TEXT NOT NULL,
  announced_at TEXT NOT NULL,
  PRIMARY KEY (server_id, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE own_key (
  fingerprint TEXT PRIMARY KEY,
  path TEXT NOT NULL,
  used_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX own_key_used ON own_key (used_at);

ALTER TABLE server_key ADD COLUMN expires_at TEXT;
`,
} as const;
