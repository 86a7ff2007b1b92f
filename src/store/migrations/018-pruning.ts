/**
 * When it is worth the while to look for objects of a repository that nothing leads to any more; and what is to be found
 * of a repository when it comes to its end.
 */
export const pruning = {
  number: 18,
  name: 'pruning',
  sql: `
ALTER TABLE repository ADD COLUMN prune_at TEXT;
CREATE INDEX repository_prune ON repository (prune_at) WHERE prune_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX sync_run_repo ON sync_run (repo_id);
CREATE INDEX sync_conflict_repo ON sync_conflict (repo_id);
`,
} as const;
