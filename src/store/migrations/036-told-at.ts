/** Where the log of the other server ended when it told what was agreed: one that tells of less was restored since. */
export const toldAt = {
  number: 36,
  name: 'told-at',
  sql: `
ALTER TABLE sync_base ADD COLUMN epoch TEXT NOT NULL DEFAULT '';
ALTER TABLE sync_base ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
`,
} as const;
