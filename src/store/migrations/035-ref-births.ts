/**
 * Which creation of a ref it is that was taken from another server, so that its deletion is known again where the same
 * creation came by another way; and creations found without a look at all that happened to a ref.
 */
export const refBirths = {
  number: 35,
  name: 'ref-births',
  sql: `
CREATE TABLE ref_birth (
  repo_id TEXT NOT NULL,
  ref TEXT NOT NULL,
  oid TEXT NOT NULL,
  birth TEXT NOT NULL,
  PRIMARY KEY (repo_id, ref)
) STRICT, WITHOUT ROWID;

CREATE INDEX ref_update_birth ON ref_update (repo_id, ref, id)
  WHERE old_oid = '0000000000000000000000000000000000000000';
`,
} as const;
