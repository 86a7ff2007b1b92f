/** Deploy keys: what a binding lets them write and who made it; keys that take another's place; pushes by their key. */
export const keys = {
  number: 4,
  name: 'keys',
  sql: `
ALTER TABLE access_grant ADD COLUMN refs TEXT;
ALTER TABLE access_grant ADD COLUMN granted_by_key TEXT REFERENCES ssh_key (id);
CREATE INDEX access_grant_by_key ON access_grant (granted_by_key) WHERE granted_by_key IS NOT NULL;
ALTER TABLE ssh_key ADD COLUMN replaces TEXT REFERENCES ssh_key (id);
ALTER TABLE ssh_key ADD COLUMN overlap_ms INTEGER;
CREATE INDEX ref_update_key ON ref_update (key_id, id) WHERE key_id IS NOT NULL;
`,
} as const;
