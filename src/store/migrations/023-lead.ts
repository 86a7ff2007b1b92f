/**
 * Who leads: what was handed over, taken over, or is held back because another server leads; the conflicts that hold
 * what a main had alone when another took over from it; and what of a history the new main has not told of.
 */
export const lead = {
  number: 23,
  name: 'lead',
  sql: `
CREATE TABLE lead (
  server_id TEXT PRIMARY KEY REFERENCES server (id) ON DELETE CASCADE,
  state TEXT NOT NULL CHECK (state IN ('draining', 'giving', 'lost', 'taken', 'followed')),
  origin TEXT NOT NULL,
  term INTEGER NOT NULL,
  recalled INTEGER NOT NULL CHECK (recalled IN (0, 1)),
  at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lead_state ON lead (state);
CREATE INDEX lead_origin ON lead (origin);

ALTER TABLE sync_conflict ADD COLUMN recalled INTEGER NOT NULL DEFAULT 0 CHECK (recalled IN (0, 1));
CREATE INDEX sync_conflict_recalled ON sync_conflict (repo_id) WHERE recalled = 1;

ALTER TABLE ref_update ADD COLUMN aside INTEGER NOT NULL DEFAULT 0 CHECK (aside IN (0, 1));
CREATE INDEX ref_update_aside ON ref_update (repo_id) WHERE aside = 1;
`,
} as const;
