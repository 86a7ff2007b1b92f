/**
 * Signed heads of the audit chain, and the checkpoint that it goes on from once older rows were dropped; the index by
 * which all names that a user has had are found.
 */
export const auditHeads = {
  number: 3,
  name: 'audit-heads',
  sql: `
CREATE TABLE audit_signed_head (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  seq INTEGER NOT NULL,
  hash TEXT NOT NULL,
  signature TEXT NOT NULL
) STRICT;

CREATE TABLE audit_checkpoint (
  seq INTEGER PRIMARY KEY,
  hash TEXT NOT NULL,
  at TEXT NOT NULL,
  signature TEXT NOT NULL
) STRICT;

CREATE INDEX namespace_of_any_time ON namespace (owner_id);
`,
} as const;
