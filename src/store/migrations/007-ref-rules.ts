/**
 * Ref rules of repositories and organizations, those they make exceptions for, and how many each place ever had: a
 * number is never used again.
 */
export const refRules = {
  number: 7,
  name: 'ref-rules',
  sql: `
CREATE TABLE ref_rule (
  on_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  on_kind TEXT NOT NULL CHECK (on_kind IN ('repo', 'org')),
  pattern TEXT NOT NULL,
  deny TEXT NOT NULL,
  closed INTEGER NOT NULL CHECK (closed IN (0, 1)),
  signed INTEGER NOT NULL CHECK (signed IN (0, 1)),
  max_file_bytes INTEGER,
  PRIMARY KEY (on_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE ref_rule_allow (
  on_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  who_kind TEXT NOT NULL CHECK (who_kind IN ('user', 'team', 'org', 'server', 'key', 'right')),
  who_id TEXT NOT NULL,
  PRIMARY KEY (on_id, number, who_kind, who_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE ref_rule_count (
  on_id TEXT PRIMARY KEY,
  given INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`,
} as const;
