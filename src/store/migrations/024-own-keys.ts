/**
 * This server's own keys while one takes the place of another: an earlier key to sign in with, which some server may
 * still know alone; a host key that is announced and not shown yet; and which servers were told. The table of this name
 * was there before, and nothing was ever in it.
 */
export const ownKeys = {
  number: 24,
  name: 'own-keys',
  sql: `
DROP TABLE own_key;
CREATE TABLE own_key (
  fingerprint TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('sign-in', 'host')),
  path TEXT NOT NULL,
  until TEXT NOT NULL,
  statement TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX own_key_kind ON own_key (kind, until);

CREATE TABLE own_key_told (
  server_id TEXT NOT NULL REFERENCES server (id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL,
  told_at TEXT NOT NULL,
  PRIMARY KEY (server_id, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX own_key_told_of ON own_key_told (fingerprint);
`,
} as const;
