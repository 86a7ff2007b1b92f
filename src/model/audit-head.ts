/** The namespace of the signatures over heads and checkpoints of the audit chain. */
export const auditNamespace = 'cpm-audit';

/** What is signed, in words: a head can't stand for a checkpoint. */
export type HeadKind = 'head' | 'checkpoint';

/**
 * The text that is signed: `cpm audit head SEQ:HASH AT` and a line break.
 *
 * @param at - ISO 8601 UTC
 */
export function headText(kind: HeadKind, head: { seq: number; hash: string }, at: string): string {
  return `cpm audit ${kind} ${headName(head)} ${at}\n`;
}

/** `SEQ:HASH`. */
export function headName({ seq, hash }: { seq: number; hash: string }): string {
  return `${seq}:${hash}`;
}

/** What `headName` wrote; undefined for anything else. */
export function readHead(text: string): { seq: number; hash: string } | undefined {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  return seq === undefined || hash === undefined ? undefined : { seq: Number(seq), hash };
}
