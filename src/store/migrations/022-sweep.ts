/** What the files of a repository's refs looked like when they were last found to be as on record. */
export const sweep = {
  number: 22,
  name: 'sweep',
  sql: `
ALTER TABLE repo_digest ADD COLUMN disk TEXT NOT NULL DEFAULT '';
`,
} as const;
