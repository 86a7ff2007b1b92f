/** A ref's full name, `refs/heads/main`. */
export type Ref = `refs/${string}`;

/** What one line of a push's command list asks: oids are 40 hex digits, the null oid for "none". */
export interface RefCommand {
  readonly ref: string;
  readonly old: string;
  readonly new: string;
}

export const nullOid = '0'.repeat(40);
