/**
 * The history of refs as it is asked for: by repository, with what was forced and what was purged; the value that each
 * ref has had last, by which changes past cpm are noticed; purges, of which an unfinished one is carried on.
 */
export const refHistory = {
  number: 8,
  name: 'ref-history',
  sql: `
ALTER TABLE ref_update ADD COLUMN forced INTEGER NOT NULL DEFAULT 0 CHECK (forced IN (0, 1));
ALTER TABLE ref_update ADD COLUMN purged INTEGER NOT NULL DEFAULT 0 CHECK (purged IN (0, 1));
CREATE INDEX ref_update_repo ON ref_update (repo_id, id);
UPDATE ref_update SET forced = 1 WHERE EXISTS (
  SELECT 1 FROM archived_tip
  WHERE archived_tip.repo_id = ref_update.repo_id AND archived_tip.oid = ref_update.old_oid
);

CREATE TABLE ref_value (
  repo_id TEXT NOT NULL,
  ref TEXT NOT NULL,
  oid TEXT NOT NULL,
  PRIMARY KEY (repo_id, ref)
) STRICT, WITHOUT ROWID;
INSERT INTO ref_value SELECT repo_id, ref, new_oid FROM ref_update
  WHERE id IN (SELECT max(id) FROM ref_update GROUP BY repo_id, ref)
    AND new_oid <> '0000000000000000000000000000000000000000';

CREATE TABLE purge (
  repo_id TEXT NOT NULL,
  oid TEXT NOT NULL,
  request TEXT NOT NULL,
  principal TEXT NOT NULL,
  key_id TEXT,
  at TEXT NOT NULL,
  done INTEGER NOT NULL CHECK (done IN (0, 1)),
  PRIMARY KEY (repo_id, oid)
) STRICT, WITHOUT ROWID;
CREATE INDEX purge_begun ON purge (at) WHERE done = 0;
`,
} as const;
