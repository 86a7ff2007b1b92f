/** Old names of repositories, aliases, and the moves of directories that are under way. */
export const names = {
  number: 5,
  name: 'names',
  sql: `
CREATE TABLE redirect (
  namespace_id TEXT NOT NULL,
  name TEXT NOT NULL,
  repo_id TEXT NOT NULL,
  PRIMARY KEY (namespace_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX redirect_repo ON redirect (repo_id);

CREATE TABLE alias (
  path TEXT PRIMARY KEY,
  repo_id TEXT NOT NULL,
  added_by TEXT NOT NULL,
  added_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX alias_repo ON alias (repo_id, path);

CREATE TABLE move_journal (
  subject_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('repo', 'namespace')),
  from_path TEXT NOT NULL,
  to_path TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`,
} as const;
