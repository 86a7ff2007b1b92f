/**
 * A second verifier of the audit chain, which shares nothing with cpm and reads only the database file:
 * `node verify-audit.mjs cpm.db [SEQ:HASH]`. A row's hash is SHA-256, in hexadecimal, over the JSON array of the hash
 * before it, its number and its columns in the table's order. Before the first row stand 64 zeros; where rows were
 * dropped, the checkpoint.
 */
import { createHash } from 'node:crypto';
import Sqlite from 'better-sqlite3';

const columns = [
  'at',
  'phase',
  'request',
  'principal',
  'principal_id',
  'key',
  'address',
  'door',
  'action',
  'target',
  'target_id',
  'outcome',
  'detail',
];

const [path = '', kept] = process.argv.slice(2);
const db = new Sqlite(path, { readonly: true });
const checkpoint = db.prepare('SELECT seq, hash FROM audit_checkpoint').get();
const start = checkpoint ?? { seq: 0, hash: '0'.repeat(64) };
const [keptSeq, keptHash] = (kept ?? '').split(':');

/** @returns {{ last: { seq: number, hash: string }, bad: number | null }} */
function walk() {
  let last = start;
  for (const row of db.prepare('SELECT * FROM audit ORDER BY seq').iterate()) {
    const seq = last.seq + 1;
    const fields = columns.map((column) => row[column]);
    const hash = createHash('sha256')
      .update(JSON.stringify([last.hash, seq, ...fields]))
      .digest('hex');
    if (row.seq !== seq || row.hash !== hash) return { last, bad: seq };
    if (Number(keptSeq) === seq && keptHash !== hash) return { last, bad: seq };
    last = { seq, hash };
  }
  return { last, bad: kept !== undefined && Number(keptSeq) > last.seq ? last.seq + 1 : null };
}

const { last, bad } = walk();
const rows = last.seq - start.seq;
const found = { ok: bad === null, rows, head: `${last.seq}:${last.hash}`, first_bad: bad };
process.stdout.write(`${JSON.stringify(found)}\n`);
process.exitCode = found.ok ? 0 : 7;
