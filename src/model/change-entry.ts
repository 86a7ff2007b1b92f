import { createHash } from 'node:crypto';

/** The namespace of the signatures over entries of the change log (S20). */
export const logNamespace = 'cpm-change-log';

/** Where a log is: whose, under which lead, since which restore, and its last entry. */
export interface LogPosition {
  /** The id of the data directory that writes it. */
  readonly origin: string;
  /** Counts fail-overs among servers that follow each other. */
  readonly term: number;
  /** Counts restores of the database from a copy; each begins the log anew. */
  readonly epoch: number;
  /** The number of the last entry; 0 before the first. */
  readonly seq: number;
  /** The hash of the last entry; `genesis` before the first. */
  readonly hash: string;
}

/** What stands in the place of the hash before the first entry. */
export const genesis = '0'.repeat(64);

/** One entry: the state of one subject from then on, or what was added to its history. */
export interface ChangeEntry {
  readonly seq: number;
  readonly term: number;
  readonly epoch: number;
  /** ISO 8601 UTC; no decision is made by it. */
  readonly at: string;
  /** `user:ID`, `repo:ID`, `audit` … */
  readonly subject: string;
  /** The hash of the entry before. */
  readonly previous: string;
  /** JSON; `null` in it says that the subject is gone. Absent where a later entry has taken its place. */
  readonly body: string | undefined;
  /** SHA-256 of the body, in hexadecimal digits. */
  readonly bodyHash: string;
  /** SHA-256 of the text that is signed. */
  readonly hash: string;
  /** SSHSIG, armoured. */
  readonly signature: string;
}

/** What an entry's signature is over: its place, what came before it, what it says (S22). */
export function entryText(
  origin: string,
  {
    term,
    epoch,
    seq,
    previous,
    subject,
    bodyHash,
  }: Omit<ChangeEntry, 'at' | 'body' | 'hash' | 'signature'>,
): string {
  const fields = { origin, term, epoch, seq, previous, subject, body: bodyHash };
  return `cpm change log\n${Object.entries(fields)
    .map(([name, value]) => `${name} ${value}\n`)
    .join('')}`;
}

/** SHA-256, in hexadecimal digits. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Whether an entry is what its own fields say of it. */
export function isWhole(origin: string, entry: ChangeEntry): boolean {
  const { body, bodyHash, hash } = entry;
  return (
    (body === undefined || sha256(body) === bodyHash) && sha256(entryText(origin, entry)) === hash
  );
}

/** Why a whole entry does not follow a position; undefined when it does. */
export function misfit(
  { term, epoch, seq, hash }: LogPosition,
  entry: ChangeEntry,
): string | undefined {
  if (entry.epoch !== epoch) return `it is of epoch ${entry.epoch}, not ${epoch}`;
  if (entry.term < term) return `its term is ${entry.term}, and ${term} is known`;
  if (entry.seq !== seq + 1) return `it has the number ${entry.seq}, and comes behind ${seq}`;
  if (entry.previous !== hash) return `another entry ${seq} came before it than is known here`;
  return undefined;
}
