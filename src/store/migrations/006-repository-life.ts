/**
 * The trash: a deleted repository keeps its row, and its name is free again. How much has changed in a repository since
 * it was last tidied, and when that was.
 */
export const repositoryLife = {
  number: 6,
  name: 'repository-life',
  sql: `
ALTER TABLE repository ADD COLUMN deleted_at TEXT;
ALTER TABLE repository ADD COLUMN deleted_by TEXT;
ALTER TABLE repository ADD COLUMN untidy INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN tidied_at TEXT;
ALTER TABLE repository ADD COLUMN repacked_at TEXT;

DROP INDEX repository_name;
CREATE UNIQUE INDEX repository_name ON repository (namespace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX repository_any_time ON repository (namespace_id, name, deleted_at);
CREATE INDEX repository_trash ON repository (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX repository_untidy ON repository (untidy, id) WHERE untidy >= 5 AND deleted_at IS NULL;
CREATE INDEX archived_tip_age ON archived_tip (repo_id, archived_at);

UPDATE repository SET untidy = 100;
`,
} as const;
